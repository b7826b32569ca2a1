/* Compression with a table of earlier places, and back: n times a text of 64 KiB. */
#include "kernel.h"
#define SIZE (64 << 10)
static u8 text[SIZE], packed[2 * SIZE], unpacked[SIZE];
static u32 places[4096];
static int pack(void) {
    u8 *to = packed;
    for (int i = 0; i < 4096; i++) places[i] = 0;
    for (u32 at = 0; at < SIZE;) {
        u32 length = 0, from = 0;
        if (at + 4 <= SIZE) {
            u32 next = text[at] | (u32)text[at + 1] << 8 | (u32)text[at + 2] << 16 | (u32)text[at + 3] << 24;
            u32 *place = &places[next * 2654435761u >> 20];
            from = *place, *place = at + 1;
            if (from) {
                from--;
                while (length < 255 && at + length < SIZE && text[from + length] == text[at + length]) length++;
            }
        }
        if (length >= 4) {
            *to++ = 1, *to++ = (u8)length, *to++ = (u8)(at - from), *to++ = (u8)((at - from) >> 8);
            at += length;
        } else *to++ = 0, *to++ = text[at++];
    }
    return (int)(to - packed);
}
static int unpack(int size) {
    int at = 0;
    for (int i = 0; i < size;) {
        if (packed[i]) {
            int length = packed[i + 1], distance = packed[i + 2] | packed[i + 3] << 8;
            for (; length; length--, at++) unpacked[at] = unpacked[at - distance];
            i += 4;
        } else unpacked[at++] = packed[i + 1], i += 2;
    }
    return at;
}
EXPORT int run(int n) {
    u32 seed = 17, sum = 0;
    for (int i = 0; i < SIZE; i++) {
        seed = seed * 1664525 + 1013904223;
        text[i] = i > 600 && seed >> 29 ? text[i - 600 + (int)(seed >> 8 & 1)] : (u8)('a' + (seed >> 24 & 15));
    }
    while (n-- > 0) {
        text[n % SIZE]++;
        int size = pack();
        sum = sum * 31 + (u32)size + (u32)unpack(size) + unpacked[n % SIZE];
    }
    return (int)sum;
}
