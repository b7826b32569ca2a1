/* Calls with several arguments, and two functions that call each other: Takeuchi's function and a parity, n times. */
#include "kernel.h"
static int odd(u32 n);
static int __attribute__((noinline)) even(u32 n) { return n == 0 ? 1 : odd(n - 1); }
static int __attribute__((noinline)) odd(u32 n) { return n == 0 ? 0 : 1 + even(n - 1) - 1; }
static int tak(int x, int y, int z) {
    return y >= x ? z : tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}
EXPORT int run(int n) {
    int sum = 0;
    while (n-- > 0) sum += tak(12, 8, n & 3) + even((u32)n & 1023);
    return sum;
}
