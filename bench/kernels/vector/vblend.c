/* One RGBA image over another, by its alpha: n times over 256 by 256. */
#include "../kernel.h"
#include <wasm_simd128.h>
#define PIXELS (256 * 256)
static u8 over[PIXELS * 4], under[PIXELS * 4];
static v128_t half(v128_t top, v128_t alpha, v128_t bottom) {
    v128_t rest = wasm_i16x8_sub(wasm_i16x8_splat(255), alpha);
    v128_t sum = wasm_i16x8_add(wasm_i16x8_mul(top, alpha), wasm_i16x8_mul(bottom, rest));
    sum = wasm_i16x8_add(sum, wasm_i16x8_splat(128));
    return wasm_u16x8_shr(wasm_i16x8_add(sum, wasm_u16x8_shr(sum, 8)), 8);
}
EXPORT int run(int n) {
    u32 seed = 4, sum = 0;
    for (int i = 0; i < PIXELS * 4; i++) {
        seed = seed * 1664525 + 1013904223;
        over[i] = (u8)(seed >> 24), under[i] = (u8)(seed >> 16);
    }
    while (n-- > 0) {
        for (int i = 0; i < PIXELS * 4; i += 16) {
            v128_t top = wasm_v128_load(over + i), bottom = wasm_v128_load(under + i);
            v128_t alpha = wasm_i8x16_shuffle(top, top, 3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15);
            v128_t low = half(wasm_u16x8_extend_low_u8x16(top), wasm_u16x8_extend_low_u8x16(alpha),
                              wasm_u16x8_extend_low_u8x16(bottom));
            v128_t high = half(wasm_u16x8_extend_high_u8x16(top), wasm_u16x8_extend_high_u8x16(alpha),
                               wasm_u16x8_extend_high_u8x16(bottom));
            wasm_v128_store(under + i, wasm_u8x16_narrow_i16x8(low, high));
        }
        sum = sum * 31 + under[(u32)(n * 7919) % (PIXELS * 4)];
        over[(u32)n % (PIXELS * 4)] += 77;
    }
    return (int)sum;
}
