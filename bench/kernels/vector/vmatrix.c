/* Matrices of floats, multiplied by rows in blocks of four by eight: n by n, n a multiple of 8. */
#include "../kernel.h"
#include <wasm_simd128.h>
#define MOST 256
static float a[MOST][MOST], b[MOST][MOST], c[MOST][MOST];
EXPORT int run(int n) {
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) a[i][k] = (float)(i * 7 + k * 3) / 64.0f, b[i][k] = (float)(i - k) / 32.0f;
    for (int i = 0; i < n; i += 4)
        for (int j = 0; j < n; j += 8) {
            v128_t s[4][2];
            for (int r = 0; r < 4; r++) s[r][0] = s[r][1] = wasm_f32x4_splat(0);
            for (int k = 0; k < n; k++) {
                v128_t x = wasm_v128_load(&b[k][j]), y = wasm_v128_load(&b[k][j + 4]);
                for (int r = 0; r < 4; r++) {
                    v128_t f = wasm_v128_load32_splat(&a[i + r][k]);
                    s[r][0] = wasm_f32x4_add(s[r][0], wasm_f32x4_mul(f, x));
                    s[r][1] = wasm_f32x4_add(s[r][1], wasm_f32x4_mul(f, y));
                }
            }
            for (int r = 0; r < 4; r++) {
                wasm_v128_store(&c[i + r][j], s[r][0]);
                wasm_v128_store(&c[i + r][j + 4], s[r][1]);
            }
        }
    float sum = 0;
    for (int i = 0; i < n; i++) sum += c[i][(i * 17) % n];
    return (int)sum;
}
