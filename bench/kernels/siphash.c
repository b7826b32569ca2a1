/* 64-bit additions, rotations and exclusive ors: SipHash-2-4 of a message of n words. */
#include "kernel.h"
#define TURN(x, n) ((x) << (n) | (x) >> (64 - (n)))
#define ROUND \
    (a += b, b = TURN(b, 13), b ^= a, a = TURN(a, 32), c += d, d = TURN(d, 16), d ^= c, a += d, d = TURN(d, 21), d ^= a, \
     c += b, b = TURN(b, 17), b ^= c, c = TURN(c, 32))
static u64 message[1024];
EXPORT int run(int n) {
    u64 k0 = 0x0706050403020100, k1 = 0x0f0e0d0c0b0a0908;
    u64 a = k0 ^ 0x736f6d6570736575, b = k1 ^ 0x646f72616e646f6d, c = k0 ^ 0x6c7967656e657261, d = k1 ^ 0x7465646279746573;
    for (int i = 0; i < 1024; i++) message[i] = 0x0123456789abcdef * (u64)(i + 1);
    for (int i = 0; i < n; i++) {
        u64 word = message[i & 1023];
        d ^= word;
        ROUND, ROUND;
        a ^= word;
    }
    c ^= 255;
    ROUND, ROUND, ROUND, ROUND;
    u64 hash = a ^ b ^ c ^ d;
    return (int)(hash ^ hash >> 32);
}
