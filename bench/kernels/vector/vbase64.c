/* Bytes to base 64 and back, sixteen letters at once: n times 48 KiB. */
#include "../kernel.h"
#include <wasm_simd128.h>
#define SIZE (48 << 10)
static u8 data[SIZE + 16], coded[SIZE / 3 * 4 + 16];
static void encode(void) {
    u8 *to = coded;
    v128_t shifts = wasm_i8x16_const('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                     '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
    for (int i = 0; i < SIZE; i += 12, to += 16) {
        v128_t in = wasm_v128_load(data + i);
        in = wasm_i8x16_shuffle(in, in, 1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
        v128_t a = wasm_u32x4_shr(wasm_v128_and(in, wasm_i32x4_splat(0x0000FC00)), 10);
        v128_t b = wasm_i32x4_shl(wasm_v128_and(in, wasm_i32x4_splat(0x000003F0)), 4);
        v128_t c = wasm_u32x4_shr(wasm_v128_and(in, wasm_i32x4_splat(0x0FC00000)), 6);
        v128_t d = wasm_i32x4_shl(wasm_v128_and(in, wasm_i32x4_splat(0x003F0000)), 8);
        v128_t six = wasm_v128_or(wasm_v128_or(a, b), wasm_v128_or(c, d));
        v128_t kind = wasm_u8x16_sub_sat(six, wasm_i8x16_splat(51));
        v128_t capital = wasm_v128_and(wasm_i8x16_gt(wasm_i8x16_splat(26), six), wasm_i8x16_splat(13));
        wasm_v128_store(to, wasm_i8x16_add(six, wasm_i8x16_swizzle(shifts, wasm_v128_or(kind, capital))));
    }
}
static int decode(void) {
    u8 *to = data;
    v128_t bad = wasm_i8x16_splat(0);
    v128_t roll = wasm_i8x16_const(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
    v128_t low_ok = wasm_i8x16_const(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1A, 0x1B, 0x1B,
                                     0x1B, 0x1A);
    v128_t high_ok = wasm_i8x16_const(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10,
                                      0x10, 0x10, 0x10);
    for (int i = 0; i < SIZE / 3 * 4; i += 16, to += 12) {
        v128_t in = wasm_v128_load(coded + i), nibble = wasm_i8x16_splat(15);
        v128_t high = wasm_v128_and(wasm_u32x4_shr(in, 4), nibble);
        v128_t low = wasm_v128_and(in, nibble);
        bad = wasm_v128_or(bad, wasm_v128_and(wasm_i8x16_swizzle(low_ok, low), wasm_i8x16_swizzle(high_ok, high)));
        v128_t slash = wasm_i8x16_eq(in, wasm_i8x16_splat('/'));
        v128_t six = wasm_i8x16_add(in, wasm_i8x16_swizzle(roll, wasm_i8x16_add(slash, high)));
        v128_t even = wasm_v128_and(six, wasm_i16x8_splat(0x3F)), odd = wasm_u16x8_shr(six, 8);
        v128_t twelve = wasm_v128_or(wasm_i16x8_shl(even, 6), odd);
        v128_t all = wasm_i32x4_dot_i16x8(twelve, wasm_i32x4_splat(0x00011000));
        all = wasm_i8x16_shuffle(all, all, 2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 3, 3, 3, 3);
        wasm_v128_store(to, all);
    }
    return wasm_v128_any_true(bad);
}
EXPORT int run(int n) {
    u32 seed = 5, sum = 0;
    for (int i = 0; i < SIZE; i++) seed = seed * 1664525 + 1013904223, data[i] = (u8)(seed >> 24);
    while (n-- > 0) {
        encode();
        sum = sum * 31 + coded[(u32)(n * 7919) % sizeof coded];
        sum += (u32)decode() * 1000003;
        sum = sum * 31 + data[(u32)(n * 104729) % SIZE]++;
    }
    return (int)sum;
}
