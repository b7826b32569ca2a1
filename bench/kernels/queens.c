/* Backtracking with a recursive function of many small steps: the ways to place n queens. */
#include "kernel.h"
static u8 column[16], rising[32], falling[32];
static int place(int row, int n) {
    int found = 0;
    if (row == n) return 1;
    for (int i = 0; i < n; i++) {
        if (column[i] | rising[row + i] | falling[row - i + n]) continue;
        column[i] = rising[row + i] = falling[row - i + n] = 1;
        found += place(row + 1, n);
        column[i] = rising[row + i] = falling[row - i + n] = 0;
    }
    return found;
}
EXPORT int run(int n) { return place(0, n); }
