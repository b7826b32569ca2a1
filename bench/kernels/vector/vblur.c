/* A 3 by 3 blur of 8-bit grey, with 16 bits in between: n times over 512 by 512. */
#include "../kernel.h"
#include <wasm_simd128.h>
#define WIDTH 512
#define HEIGHT 512
static u8 images[2][HEIGHT][WIDTH];
static v128_t row(const u8 *at, int high) {
    v128_t left = wasm_v128_load(at - 1), here = wasm_v128_load(at), right = wasm_v128_load(at + 1);
    if (high) {
        left = wasm_u16x8_extend_high_u8x16(left), here = wasm_u16x8_extend_high_u8x16(here);
        right = wasm_u16x8_extend_high_u8x16(right);
    } else {
        left = wasm_u16x8_extend_low_u8x16(left), here = wasm_u16x8_extend_low_u8x16(here);
        right = wasm_u16x8_extend_low_u8x16(right);
    }
    return wasm_i16x8_add(wasm_i16x8_add(left, right), wasm_i16x8_shl(here, 1));
}
static v128_t cell(const u8 *at, int high) {
    v128_t sum = wasm_i16x8_add(row(at - WIDTH, high), row(at + WIDTH, high));
    sum = wasm_i16x8_add(sum, wasm_i16x8_shl(row(at, high), 1));
    return wasm_u16x8_shr(wasm_i16x8_add(sum, wasm_i16x8_splat(8)), 4);
}
EXPORT int run(int n) {
    u32 seed = 3, sum = 0;
    for (int i = 0; i < WIDTH * HEIGHT; i++) seed = seed * 1664525 + 1013904223, images[0][0][i] = (u8)(seed >> 24);
    for (int i = 0; i < n; i++) {
        const u8 *from = images[i & 1][0];
        u8 *to = images[~i & 1][0];
        for (int y = 1; y < HEIGHT - 1; y++)
            for (int x = 16; x < WIDTH - 16; x += 16) {
                const u8 *at = from + y * WIDTH + x;
                wasm_v128_store(to + y * WIDTH + x, wasm_u8x16_narrow_i16x8(cell(at, 0), cell(at, 1)));
            }
        sum = sum * 31 + to[(u32)(i * 7919) % (WIDTH * HEIGHT)];
    }
    return (int)sum;
}
