/* A switch in a loop, as interpreters have it: n rounds of a small byte code. */
#include "kernel.h"
enum { PUSH, ADD, MUL, XOR, DUP, SWAP, SHIFT, LOOP, STOP };
static const u8 program[] = {PUSH, 7, PUSH, 3, MUL, DUP, PUSH, 5, XOR, ADD, SWAP, SHIFT, PUSH, 1, ADD, SWAP, LOOP, STOP};
EXPORT int run(int n) {
    u32 stack[64], *top = stack;
    const u8 *pc = program;
    *top = 1, *++top = 2;
    for (;;) {
        switch (*pc++) {
        case PUSH: *++top = *pc++; break;
        case ADD: top--; *top += top[1]; break;
        case MUL: top--; *top *= top[1]; break;
        case XOR: top--; *top ^= top[1]; break;
        case DUP: top++; *top = top[-1]; break;
        case SWAP: { u32 t = *top; *top = top[-1]; top[-1] = t; break; }
        case SHIFT: *top = *top << 1 | *top >> 31; break;
        case LOOP:
            top--; *top ^= top[1];
            if (--n > 0) { pc = program; *++top = (u32)n; if (top > stack + 8) top = stack + 1; }
            break;
        default: return (int)*top;
        }
    }
}
