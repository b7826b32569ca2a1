/* Double precision with strides: n Fourier transforms of 4096 points. */
#include "kernel.h"
#define BITS 12
#define POINTS (1 << BITS)
typedef struct { double re, im; } Complex;
static Complex x[POINTS], roots[POINTS / 2];
static void transform(void) {
    for (u32 i = 0, j = 0; i < POINTS; i++) {
        if (i < j) { Complex t = x[i]; x[i] = x[j], x[j] = t; }
        u32 bit = POINTS >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
    }
    for (int half = 1; half < POINTS; half *= 2)
        for (int start = 0; start < POINTS; start += 2 * half)
            for (int i = 0; i < half; i++) {
                Complex w = roots[i * (POINTS / 2 / half)], *p = &x[start + i], *q = p + half;
                double re = q->re * w.re - q->im * w.im, im = q->re * w.im + q->im * w.re;
                q->re = p->re - re, q->im = p->im - im;
                p->re += re, p->im += im;
            }
}
EXPORT int run(int n) {
    double re = -1, im = 0; /* halve the angle until it is a step */
    for (int i = 0; i < BITS - 1; i++) {
        double cosine = __builtin_sqrt((1 + re) / 2);
        im = i ? im / (2 * cosine) : 1, re = cosine;
    }
    roots[0] = (Complex){1, 0};
    for (int i = 1; i < POINTS / 2; i++) {
        Complex last = roots[i - 1];
        roots[i] = (Complex){last.re * re - last.im * im, last.re * im + last.im * re};
    }
    for (int i = 0; i < POINTS; i++) x[i] = (Complex){i % 17 - 8, i % 5};
    while (n-- > 0) {
        transform();
        for (int i = 0; i < POINTS; i++) x[i].re /= 64, x[i].im /= 64;
    }
    return (int)(x[3].re * 1000 + x[77].im * 1000);
}
