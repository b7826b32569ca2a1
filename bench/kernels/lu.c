/* Double precision with divisions and a search for the pivot: n LU decompositions of a 100 x 100 matrix. */
#include "kernel.h"
#define SIZE 100
static double a[SIZE][SIZE];
EXPORT int run(int n) {
    double sum = 0;
    u32 seed = 3;
    while (n-- > 0) {
        double determinant = 1;
        for (int i = 0; i < SIZE; i++)
            for (int j = 0; j < SIZE; j++) seed = seed * 1664525 + 1013904223, a[i][j] = (int)(seed >> 16) - 32768;
        for (int k = 0; k < SIZE; k++) {
            int best = k;
            for (int i = k + 1; i < SIZE; i++) if (__builtin_fabs(a[i][k]) > __builtin_fabs(a[best][k])) best = i;
            for (int j = 0; j < SIZE; j++) { double t = a[k][j]; a[k][j] = a[best][j], a[best][j] = t; }
            for (int i = k + 1; i < SIZE; i++) {
                double factor = a[i][k] /= a[k][k];
                for (int j = k + 1; j < SIZE; j++) a[i][j] -= factor * a[k][j];
            }
            determinant *= a[k][k] / 150000;
        }
        sum += determinant > 1 ? 1 / determinant : determinant;
    }
    return (int)(sum * 1000);
}
