/* Bytes in and out through tables: n times 48 KiB to base 64 and back. */
#include "kernel.h"
#define SIZE (48 << 10)
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static u8 data[SIZE], values[256];
static char coded[SIZE / 3 * 4];
EXPORT int run(int n) {
    u32 seed = 5, sum = 0;
    for (int i = 0; i < 64; i++) values[(u8)letters[i]] = (u8)i;
    for (int i = 0; i < SIZE; i++) seed = seed * 1664525 + 1013904223, data[i] = (u8)(seed >> 24);
    while (n-- > 0) {
        char *to = coded;
        for (int i = 0; i < SIZE; i += 3, to += 4) {
            u32 word = (u32)data[i] << 16 | (u32)data[i + 1] << 8 | data[i + 2];
            to[0] = letters[word >> 18], to[1] = letters[word >> 12 & 63];
            to[2] = letters[word >> 6 & 63], to[3] = letters[word & 63];
        }
        u8 *back = data;
        for (const char *from = coded; from < coded + sizeof coded; from += 4, back += 3) {
            u32 word = (u32)values[(u8)from[0]] << 18 | (u32)values[(u8)from[1]] << 12 | (u32)values[(u8)from[2]] << 6 |
                       values[(u8)from[3]];
            back[0] = (u8)(word >> 16), back[1] = (u8)(word >> 8), back[2] = (u8)(word + 1);
        }
        sum = sum * 31 + data[n % SIZE];
    }
    return (int)sum;
}
