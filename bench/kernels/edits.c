/* Minima in a table, row by row: the edit distance of two texts of n letters. */
#include "kernel.h"
#define MOST 4096
static u8 one[MOST], other[MOST];
static int row[MOST + 1];
EXPORT int run(int n) {
    u32 seed = 11;
    if (n > MOST) n = MOST;
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        one[i] = (u8)(seed >> 28), other[i] = (u8)(seed >> 24 & 15);
    }
    for (int i = 0; i <= n; i++) row[i] = i;
    for (int i = 0; i < n; i++) {
        int corner = row[0];
        row[0] = i + 1;
        for (int j = 0; j < n; j++) {
            int least = corner + (one[i] != other[j]);
            corner = row[j + 1];
            if (corner + 1 < least) least = corner + 1;
            if (row[j] + 1 < least) least = row[j] + 1;
            row[j + 1] = least;
        }
    }
    return row[n];
}
