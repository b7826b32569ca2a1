/* 64-bit products and carries: n!, then ten times a square of it, in limbs of 32 bits. */
#include "kernel.h"
#define LIMBS 512
static u32 number[LIMBS], square[2 * LIMBS];
EXPORT int run(int n) {
    int length = 1;
    number[0] = 1;
    for (int i = 2; i <= n; i++) {
        u64 carry = 0;
        for (int j = 0; j < length; j++) {
            carry += (u64)number[j] * (u32)i;
            number[j] = (u32)carry, carry >>= 32;
        }
        if (carry && length < LIMBS) number[length++] = (u32)carry;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 2 * length; i++) square[i] = 0;
        for (int i = 0; i < length; i++) {
            u64 carry = 0;
            for (int j = 0; j < length; j++) {
                carry += (u64)number[i] * number[j] + square[i + j];
                square[i + j] = (u32)carry, carry >>= 32;
            }
            square[i + length] = (u32)carry;
        }
        for (int i = 0; i < length; i++) number[i] = square[length / 2 + i] | 1;
    }
    u32 sum = 0;
    for (int i = 0; i < length; i++) sum = sum * 31 + number[i];
    return (int)sum;
}
