/* Floating point in registers with an early way out: n x n points. */
#include "kernel.h"
EXPORT int run(int n) {
    int total = 0;
    for (int row = 0; row < n; row++)
        for (int column = 0; column < n; column++) {
            double cx = 3.0 * column / n - 2, cy = 2.0 * row / n - 1, x = 0, y = 0;
            int steps = 0;
            while (steps < 200 && x * x + y * y < 4) {
                double t = x * x - y * y + cx;
                y = 2 * x * y + cy, x = t, steps++;
            }
            total += steps;
        }
    return total;
}
