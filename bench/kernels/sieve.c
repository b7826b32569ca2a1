/* Byte stores at a stride, then a count: the primes below n. */
#include "kernel.h"
static u8 composite[4 << 20];
EXPORT int run(int n) {
    int count = 0;
    if (n > (int)sizeof composite) n = sizeof composite;
    for (int i = 0; i < n; i++) composite[i] = 0;
    for (int i = 2; i < n; i++) {
        if (composite[i]) continue;
        count++;
        for (long j = (long)i + i; j < n; j += i) composite[j] = 1;
    }
    return count;
}
