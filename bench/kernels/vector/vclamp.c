/* Sound: 16-bit samples to floats, a gain, a clamp, the loudest one, and back to 16 bits: n times 16,384. */
#include "../kernel.h"
#include <wasm_simd128.h>
#define COUNT 16384
static short samples[COUNT];
static v128_t louder(v128_t whole, v128_t *peak) {
    v128_t f = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(whole), wasm_f32x4_splat(1.0f / 32768.0f * 1.1f));
    f = wasm_f32x4_max(wasm_f32x4_min(f, wasm_f32x4_splat(0.9f)), wasm_f32x4_splat(-0.9f));
    *peak = wasm_f32x4_max(*peak, wasm_f32x4_abs(f));
    return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_mul(f, wasm_f32x4_splat(32767.0f))));
}
EXPORT int run(int n) {
    u32 seed = 2, sum = 0;
    for (int i = 0; i < COUNT; i++) seed = seed * 1664525 + 1013904223, samples[i] = (short)(seed >> 18);
    while (n-- > 0) {
        v128_t peak = wasm_f32x4_splat(0);
        for (int i = 0; i < COUNT; i += 8) {
            v128_t in = wasm_v128_load(samples + i);
            v128_t low = louder(wasm_i32x4_extend_low_i16x8(in), &peak);
            v128_t high = louder(wasm_i32x4_extend_high_i16x8(in), &peak);
            wasm_v128_store(samples + i, wasm_i16x8_narrow_i32x4(low, high));
        }
        sum = sum * 31 + (u32)(wasm_f32x4_extract_lane(peak, 1) * 1000.0f) + (u32)samples[(u32)(n * 7919) % COUNT];
        samples[(u32)n % COUNT] ^= 0x1555;
    }
    return (int)sum;
}
