/* A heap of records with their order: shortest ways over an n x n grid (Dijkstra). */
#include "kernel.h"
#define MOST 512
typedef struct { u32 cost, place; } Entry;
static Entry heap[4 * MOST * MOST];
static u32 costs[MOST * MOST];
static u8 steps[MOST * MOST];
static int count;
static void push(u32 cost, u32 place) {
    int at = ++count;
    for (; at > 1 && heap[at / 2].cost > cost; at /= 2) heap[at] = heap[at / 2];
    heap[at] = (Entry){cost, place};
}
static Entry pop(void) {
    Entry top = heap[1], last = heap[count--];
    int at = 1, child;
    for (; (child = 2 * at) <= count; at = child) {
        if (child < count && heap[child + 1].cost < heap[child].cost) child++;
        if (heap[child].cost >= last.cost) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}
EXPORT int run(int n) {
    u32 seed = 23, sum = 0;
    if (n > MOST) n = MOST;
    for (int i = 0; i < n * n; i++) seed = seed * 1664525 + 1013904223, steps[i] = (u8)(seed >> 28), costs[i] = ~0u;
    count = 0, costs[0] = 0, push(0, 0);
    while (count) {
        Entry entry = pop();
        if (entry.cost > costs[entry.place]) continue;
        int x = (int)entry.place % n, y = (int)entry.place / n;
        for (int way = 0; way < 4; way++) {
            int nx = x + (way == 0) - (way == 1), ny = y + (way == 2) - (way == 3);
            if (nx < 0 || ny < 0 || nx >= n || ny >= n) continue;
            u32 place = (u32)(ny * n + nx), cost = entry.cost + 1 + steps[place];
            if (cost < costs[place]) costs[place] = cost, push(cost, place);
        }
    }
    for (int i = 0; i < n * n; i++) sum = sum * 31 + costs[i];
    return (int)sum;
}
