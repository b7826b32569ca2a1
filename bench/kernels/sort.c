/* Compares through a function pointer: quicksort of n numbers. */
#include "kernel.h"
typedef int (*Less)(u32, u32);
static u32 numbers[1 << 20];
static int up(u32 a, u32 b) { return a < b; }
static int down(u32 a, u32 b) { return a > b; }
static void sort(u32 *first, u32 *last, Less less) {
    while (first < last) {
        u32 pivot = first[(last - first) / 2], *i = first, *j = last;
        while (i <= j) {
            while (less(*i, pivot)) i++;
            while (less(pivot, *j)) j--;
            if (i <= j) { u32 t = *i; *i++ = *j; *j-- = t; }
        }
        if (j - first < last - i) { sort(first, j, less); first = i; } else { sort(i, last, less); last = j; }
    }
}
EXPORT int run(int n) {
    Less orders[2] = {up, down};
    u32 seed = 1, sum = 0;
    for (int i = 0; i < n; i++) numbers[i] = seed = seed * 1664525 + 1013904223;
    sort(numbers, numbers + n - 1, orders[n & 1]);
    for (int i = 0; i < n; i++) sum = sum * 31 + numbers[i];
    return (int)sum;
}
