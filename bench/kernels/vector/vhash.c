/* A hash with four lanes of state, as xxHash has them, and a sum of sums, as Adler has it: n times over 64 KiB. */
#include "../kernel.h"
#include <wasm_simd128.h>
#define SIZE (64 << 10)
static u8 data[SIZE];
static v128_t rotated(v128_t x, int by) { return wasm_v128_or(wasm_i32x4_shl(x, by), wasm_u32x4_shr(x, 32 - by)); }
EXPORT int run(int n) {
    u32 seed = 9, out = 0;
    for (int i = 0; i < SIZE; i++) seed = seed * 1664525 + 1013904223, data[i] = (u8)(seed >> 24);
    v128_t first = wasm_i32x4_splat((int)2654435761u), second = wasm_i32x4_splat((int)2246822519u);
    v128_t weights = wasm_i16x8_const(8, 7, 6, 5, 4, 3, 2, 1);
    while (n-- > 0) {
        v128_t state = wasm_i32x4_make(1, 2, 3, n), plain = wasm_i32x4_splat(0), weighted = wasm_i32x4_splat(0);
        for (int i = 0; i < SIZE; i += 16) {
            v128_t block = wasm_v128_load(data + i);
            state = wasm_i32x4_mul(rotated(wasm_i32x4_add(state, wasm_i32x4_mul(block, second)), 13), first);
            v128_t low = wasm_u16x8_extend_low_u8x16(block), high = wasm_u16x8_extend_high_u8x16(block);
            plain = wasm_i32x4_add(plain, wasm_u32x4_extadd_pairwise_u16x8(wasm_i16x8_add(low, high)));
            weighted = wasm_i32x4_add(weighted, wasm_i32x4_dot_i16x8(low, weights));
            weighted = wasm_i32x4_add(weighted, wasm_i32x4_dot_i16x8(high, weights));
        }
        state = wasm_v128_xor(state, wasm_i32x4_add(plain, rotated(weighted, 7)));
        out = out * 31 + (u32)wasm_i32x4_extract_lane(state, 0) + (u32)wasm_i32x4_extract_lane(state, 3);
        data[out % SIZE] ^= (u8)out;
    }
    return (int)out;
}
