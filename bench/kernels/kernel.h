/* Every kernel exports `run(n)`, whose result is compared between the runtimes and with native code. No libc, no
   imports. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#ifdef __wasm__
#define EXPORT __attribute__((export_name("run")))
#else
#define EXPORT __attribute__((visibility("default")))
#endif
