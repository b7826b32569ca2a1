/* Double precision, three loops: the trace of the product of two n x n matrices. */
#include "kernel.h"
#define MOST 256
static double a[MOST][MOST], b[MOST][MOST], c[MOST][MOST];
EXPORT int run(int n) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) a[i][j] = i + 2 * j, b[i][j] = i - j;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < n; k++) sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    double trace = 0;
    for (int i = 0; i < n; i++) trace += c[i][i];
    return (int)(long long)(trace / 1024);
}
