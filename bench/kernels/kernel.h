/* Every kernel exports `run(n)`, whose result is compared between the runtimes. No libc, no imports. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define EXPORT __attribute__((export_name("run")))
