/* Dot products: of floats with four sums, and of 16-bit numbers. n times over 16,384 of each. */
#include "../kernel.h"
#include <wasm_simd128.h>
#define COUNT 16384
static float x[COUNT], y[COUNT];
static short p[COUNT], q[COUNT];
static float sum_of(v128_t s) {
    return wasm_f32x4_extract_lane(s, 0) + wasm_f32x4_extract_lane(s, 1) + wasm_f32x4_extract_lane(s, 2) +
           wasm_f32x4_extract_lane(s, 3);
}
EXPORT int run(int n) {
    u32 seed = 8, sum = 0;
    for (int i = 0; i < COUNT; i++) {
        seed = seed * 1664525 + 1013904223;
        x[i] = (float)(seed >> 24) / 16.0f, y[i] = (float)(seed >> 16 & 255) / 64.0f;
        p[i] = (short)(seed >> 20), q[i] = (short)(seed >> 12 & 0xFFF);
    }
    while (n-- > 0) {
        v128_t s[4], t[2];
        for (int k = 0; k < 4; k++) s[k] = wasm_f32x4_splat(0);
        t[0] = t[1] = wasm_i32x4_splat(0);
        for (int i = 0; i < COUNT; i += 16) {
            for (int k = 0; k < 4; k++) {
                v128_t product = wasm_f32x4_mul(wasm_v128_load(x + i + 4 * k), wasm_v128_load(y + i + 4 * k));
                s[k] = wasm_f32x4_add(s[k], product);
            }
            for (int k = 0; k < 2; k++)
                t[k] = wasm_i32x4_add(
                    t[k], wasm_i32x4_dot_i16x8(wasm_v128_load(p + i + 8 * k), wasm_v128_load(q + i + 8 * k)));
        }
        float f = sum_of(wasm_f32x4_add(wasm_f32x4_add(s[0], s[1]), wasm_f32x4_add(s[2], s[3])));
        v128_t whole = wasm_i32x4_add(t[0], t[1]);
        sum = sum * 31 + (u32)f + (u32)wasm_i32x4_extract_lane(whole, 0) + (u32)wasm_i32x4_extract_lane(whole, 2);
        x[(u32)n % COUNT] += 1.0f, p[(u32)n % COUNT] ^= 5;
    }
    return (int)sum;
}
