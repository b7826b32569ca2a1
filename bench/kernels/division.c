/* Divisions and remainders: common divisors and powers to a modulus of n pairs of numbers. */
#include "kernel.h"
static u32 divisor(u32 a, u32 b) { while (b) { u32 t = a % b; a = b, b = t; } return a; }
static u32 power(u64 base, u32 exponent, u32 modulus) {
    u64 result = 1;
    for (base %= modulus; exponent; exponent >>= 1) {
        if (exponent & 1) result = result * base % modulus;
        base = base * base % modulus;
    }
    return (u32)result;
}
EXPORT int run(int n) {
    u32 seed = 29, sum = 0;
    while (n-- > 0) {
        u32 a = seed = seed * 1664525 + 1013904223, b = seed = seed * 1664525 + 1013904223;
        sum = sum * 31 + divisor(a, b) + power(a, b & 0xffff, (b >> 8) + 2);
        sum += (u32)((int)a / ((int)(b >> 20) - 2048 ? (int)(b >> 20) - 2048 : 1));
    }
    return (int)sum;
}
