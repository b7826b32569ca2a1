/* The Mandelbrot set, four points at once: n by n. */
#include "../kernel.h"
#include <wasm_simd128.h>
EXPORT int run(int n) {
    u32 sum = 0;
    v128_t four = wasm_f32x4_splat(4.0f), steps = wasm_f32x4_make(0, 1, 2, 3);
    for (int row = 0; row < n; row++)
        for (int column = 0; column < n; column += 4) {
            v128_t cx = wasm_f32x4_add(wasm_f32x4_splat((float)column), steps);
            cx = wasm_f32x4_sub(wasm_f32x4_mul(cx, wasm_f32x4_splat(3.0f / (float)n)), wasm_f32x4_splat(2.25f));
            v128_t cy = wasm_f32x4_splat((float)row * 2.5f / (float)n - 1.25f);
            v128_t x = wasm_f32x4_splat(0), y = x, counts = wasm_i32x4_splat(0);
            for (int i = 0; i < 200; i++) {
                v128_t xx = wasm_f32x4_mul(x, x), yy = wasm_f32x4_mul(y, y);
                v128_t inside = wasm_f32x4_le(wasm_f32x4_add(xx, yy), four);
                if (!wasm_v128_any_true(inside)) break;
                counts = wasm_i32x4_sub(counts, inside);
                y = wasm_f32x4_mul(x, y), y = wasm_f32x4_add(wasm_f32x4_add(y, y), cy);
                x = wasm_f32x4_add(wasm_f32x4_sub(xx, yy), cx);
            }
            for (int i = 0; i < 4; i++) sum = sum * 3 + (u32)wasm_i32x4_extract_lane(counts, 0), counts = wasm_i8x16_shuffle(
                counts, counts, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
        }
    return (int)sum;
}
