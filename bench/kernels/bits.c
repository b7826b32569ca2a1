/* Counting and finding bits of 64-bit words: n steps of a game of Life whose 64 rows are words. */
#include "kernel.h"
static u64 rows[64], next[64];
EXPORT int run(int n) {
    u64 seed = 88172645463325252u, sum = 0;
    for (int i = 0; i < 64; i++) seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17, rows[i] = seed;
    while (n-- > 0) {
        for (int i = 0; i < 64; i++) {
            u64 one = 0, two = 0, four = 0;
            for (int j = -1; j <= 1; j++) {
                u64 row = rows[(i + j) & 63], sides[3] = {row << 1 | row >> 63, row >> 1 | row << 63, j ? row : 0};
                for (int k = 0; k < 3; k++) {
                    u64 carry = one & sides[k];
                    one ^= sides[k], four |= two & carry, two ^= carry;
                }
            }
            next[i] = two & ~four & (one | rows[i]);
        }
        for (int i = 0; i < 64; i++) {
            rows[i] = next[i];
            for (u64 rest = rows[i]; rest; rest &= rest - 1) sum += (u64)__builtin_ctzll(rest) ^ (u64)i;
            sum += (u64)__builtin_popcountll(rows[i]);
        }
        if (sum % 5 == 0) rows[n & 63] ^= sum;
    }
    return (int)(sum ^ sum >> 32);
}
