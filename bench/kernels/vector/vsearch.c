/* A string in 256 KiB of others: the places where its first and its last byte fit are looked at closely. n times. */
#include "../kernel.h"
#include <wasm_simd128.h>
#define SIZE (256 << 10)
#define LENGTH 11
static u8 text[SIZE + 32];
static const u8 word[LENGTH + 1] = "needle here";
static int found_at(int start) {
    v128_t first = wasm_i8x16_splat((char)word[0]), last = wasm_i8x16_splat((char)word[LENGTH - 1]);
    for (int i = start; i < SIZE - LENGTH; i += 16) {
        v128_t here = wasm_i8x16_eq(wasm_v128_load(text + i), first);
        u32 mask = wasm_i8x16_bitmask(wasm_v128_and(here, wasm_i8x16_eq(wasm_v128_load(text + i + LENGTH - 1), last)));
        for (; mask; mask &= mask - 1) {
            const u8 *at = text + i + __builtin_ctz(mask);
            int k = 1;
            while (k < LENGTH - 1 && at[k] == word[k]) k++;
            if (k == LENGTH - 1) return (int)(at - text);
        }
    }
    return -1;
}
EXPORT int run(int n) {
    u32 seed = 6, sum = 0;
    for (int i = 0; i < SIZE; i++) seed = seed * 1664525 + 1013904223, text[i] = (u8)(' ' + (seed >> 25) % 90);
    while (n-- > 0) {
        int place = SIZE - 400 + n % 300;
        for (int i = 0; i < LENGTH; i++) text[place + i] = word[i];
        sum = sum * 31 + (u32)found_at(n & 15);
        text[place] = 'x';
    }
    return (int)sum;
}
