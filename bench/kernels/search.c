/* Byte loads and early ways out: how often words occur in a text of n letters (Horspool). */
#include "kernel.h"
#define MOST (1 << 20)
static u8 text[MOST];
static const char *const words[] = {"abcabd", "badcab", "ddddd", "acbdacbd", "cab", "dcbabcd"};
static int count(const u8 *word, int length, int n) {
    int skip[256], found = 0;
    for (int i = 0; i < 256; i++) skip[i] = length;
    for (int i = 0; i < length - 1; i++) skip[word[i]] = length - 1 - i;
    for (int at = 0; at <= n - length; at += skip[text[at + length - 1]]) {
        int i = length - 1;
        while (i >= 0 && text[at + i] == word[i]) i--;
        found += i < 0;
    }
    return found;
}
EXPORT int run(int n) {
    u32 seed = 7;
    int total = 0;
    if (n > MOST) n = MOST;
    for (int i = 0; i < n; i++) seed = seed * 1664525 + 1013904223, text[i] = (u8)('a' + (seed >> 28 & 3));
    for (int i = 0; i < (int)(sizeof words / sizeof *words); i++) {
        int length = 0;
        while (words[i][length]) length++;
        total = total * 31 + count((const u8 *)words[i], length, n);
    }
    return total;
}
