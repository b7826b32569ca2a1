/* Branches on bytes: n times the words, numbers, strings and signs of a text of 64 KiB. */
#include "kernel.h"
#define SIZE (64 << 10)
static u8 text[SIZE + 1];
static const char sample[] = "while (count < 1024) { total += table[count] * 3.25; name = \"a \\\" b\"; count++; } // end\n";
static u32 scan(const u8 *at) {
    u32 words = 0, numbers = 0, strings = 0, signs = 0, value = 0;
    for (;;) {
        switch (*at) {
        case 0: return words * 7 + numbers * 11 + strings * 13 + signs * 17 + value;
        case ' ': case '\n': case '\t': at++; break;
        case '"':
            for (at++; *at && *at != '"'; at++) if (*at == '\\' && at[1]) at++;
            strings++;
            if (*at) at++;
            break;
        case '/':
            if (at[1] == '/') { while (*at && *at != '\n') at++; break; }
            /* fall through */
        case '+': case '-': case '*': case '<': case '=': case '(': case ')': case '{': case '}': case '[': case ']':
        case ';': case '.': signs++, at++; break;
        case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9': {
            u32 number = 0;
            while (*at >= '0' && *at <= '9') number = number * 10 + *at++ - '0';
            value ^= number, numbers++;
            break;
        }
        default: {
            u32 hash = *at++;
            while ((*at | 32) >= 'a' && (*at | 32) <= 'z') hash = hash * 33 ^ *at++;
            value += hash, words++;
        }
        }
    }
}
EXPORT int run(int n) {
    u32 sum = 0;
    for (u32 i = 0; i < SIZE; i++) text[i] = (u8)sample[i % (sizeof sample - 1)];
    while (n-- > 0) {
        text[n % SIZE] ^= 1;
        sum = sum * 31 + scan(text);
    }
    return (int)sum;
}
