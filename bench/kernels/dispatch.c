/* Indirect calls: n steps of a machine whose instructions are functions in a table. */
#include "kernel.h"
typedef struct { u32 a, b, left; } Machine;
typedef u32 (*Step)(Machine *, u32);
static u32 add(Machine *m, u32 at) { m->a += m->b + at; return at + 1; }
static u32 mix(Machine *m, u32 at) { m->b = (m->b ^ m->a) * 2654435761u; return at + 1; }
static u32 turn(Machine *m, u32 at) { m->a = m->a << 5 | m->a >> 27; return at + 1; }
static u32 swap(Machine *m, u32 at) { u32 t = m->a; m->a = m->b, m->b = t; return at + 1; }
static u32 odd(Machine *m, u32 at) { return m->b & 1 ? at + 2 : at + 1; }
static u32 back(Machine *m, u32 at) { m->left--; return (at + m->b) & 3; }
static const Step steps[] = {add, turn, odd, mix, swap, add, odd, turn, mix, back};
EXPORT int run(int n) {
    Machine machine = {1, 2, (u32)n};
    for (u32 at = 0; machine.left;) at = steps[at](&machine, at);
    return (int)(machine.a ^ machine.b);
}
