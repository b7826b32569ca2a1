/* Sixteen words that live at once: n blocks of the ChaCha20 stream. */
#include "kernel.h"
#define TURN(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define QUARTER(a, b, c, d) \
    (a += b, d ^= a, d = TURN(d, 16), c += d, b ^= c, b = TURN(b, 12), a += b, d ^= a, d = TURN(d, 8), c += d, b ^= c, \
     b = TURN(b, 7))
static u32 stream[16];
EXPORT int run(int n) {
    static const u32 start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 9, 10};
    u32 sum = 0;
    for (int block = 0; block < n; block++) {
        u32 x[16];
        for (int i = 0; i < 16; i++) x[i] = start[i];
        x[12] = (u32)block;
        for (int round = 0; round < 10; round++) {
            QUARTER(x[0], x[4], x[8], x[12]), QUARTER(x[1], x[5], x[9], x[13]);
            QUARTER(x[2], x[6], x[10], x[14]), QUARTER(x[3], x[7], x[11], x[15]);
            QUARTER(x[0], x[5], x[10], x[15]), QUARTER(x[1], x[6], x[11], x[12]);
            QUARTER(x[2], x[7], x[8], x[13]), QUARTER(x[3], x[4], x[9], x[14]);
        }
        for (int i = 0; i < 16; i++) stream[i] = x[i] + (i == 12 ? (u32)block : start[i]);
        sum = sum * 31 + stream[block & 15];
    }
    return (int)sum;
}
