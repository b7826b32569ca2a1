/* A hash table with open addressing: n look-ups and insertions of 64-bit keys. */
#include "kernel.h"
#define SLOTS (1 << 17)
typedef struct { u64 key; u32 value, used; } Slot;
static Slot slots[SLOTS];
static u32 place(u64 key) { return (u32)(key * 0x9e3779b97f4a7c15u >> 40) & (SLOTS - 1); }
static Slot *find(u64 key) {
    for (u32 at = place(key);; at = (at + 1) & (SLOTS - 1)) {
        if (!slots[at].used) return 0;
        if (slots[at].key == key) return &slots[at];
    }
}
static void insert(u64 key, u32 value) {
    u32 at = place(key);
    while (slots[at].used && slots[at].key != key) at = (at + 1) & (SLOTS - 1);
    slots[at] = (Slot){key, value, 1};
}
EXPORT int run(int n) {
    u64 seed = 88172645463325252u;
    u32 sum = 0;
    for (int i = 0; i < SLOTS; i++) slots[i].used = 0;
    for (int i = 0; i < n; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        u64 key = seed % 40000;
        Slot *slot = find(key);
        if (!slot) insert(key, (u32)i);
        else if (key & 1) slot->value++, sum += slot->value;
        else if (slot->value % 3) sum ^= slot->value, slot->value = 0;
        else slot->value += 2;
    }
    return (int)sum;
}
