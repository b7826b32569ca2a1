/* Structures linked by pointers: a binary search tree of n numbers, searched and taken apart. */
#include "kernel.h"
#define MOST (1 << 17)
typedef struct Node { struct Node *left, *right; u32 key, count; } Node;
static Node nodes[MOST];
static int used;
static void insert(Node **at, u32 key) {
    while (*at) {
        if ((*at)->key == key) { (*at)->count++; return; }
        at = key < (*at)->key ? &(*at)->left : &(*at)->right;
    }
    *at = &nodes[used++];
    **at = (Node){0, 0, key, 1};
}
static int contains(const Node *at, u32 key) {
    while (at && at->key != key) at = key < at->key ? at->left : at->right;
    return at ? (int)at->count : -1;
}
static u32 fold(const Node *at, u32 depth) {
    if (!at) return depth;
    return fold(at->left, depth + 1) * 3 + at->key + fold(at->right, depth + 1);
}
EXPORT int run(int n) {
    Node *root = 0;
    u32 seed = 9, sum = 0;
    if (n > MOST) n = MOST;
    used = 0;
    for (int i = 0; i < n; i++) seed = seed * 1664525 + 1013904223, insert(&root, seed >> 12);
    for (int i = 0; i < n; i++) seed = seed * 1664525 + 1013904223, sum = sum * 31 + (u32)contains(root, seed >> 12);
    return (int)(sum ^ fold(root, 0));
}
