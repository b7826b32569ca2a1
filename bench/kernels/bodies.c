/* Floating point with divisions and square roots: n steps of five planets. */
#include "kernel.h"
#define COUNT 5
typedef struct { double x, y, z, vx, vy, vz, mass; } Body;
static const Body START[COUNT] = {
    {0, 0, 0, 0, 0, 0, 39.47},
    {4.84, -1.16, -0.10, 0.60, 2.81, -0.02, 0.03},
    {8.34, 4.12, -0.40, -1.01, 1.82, 0.008, 0.01},
    {12.89, -15.11, -0.22, 1.08, 0.86, -0.01, 0.001},
    {15.37, -25.9, 0.17, 0.97, 0.59, -0.03, 0.002},
};
static Body bodies[COUNT];
EXPORT int run(int n) {
    for (int i = 0; i < COUNT; i++) bodies[i] = START[i];
    while (n-- > 0) {
        for (int i = 0; i < COUNT; i++)
            for (int j = i + 1; j < COUNT; j++) {
                Body *p = &bodies[i], *q = &bodies[j];
                double dx = p->x - q->x, dy = p->y - q->y, dz = p->z - q->z;
                double square = dx * dx + dy * dy + dz * dz;
                double pull = 0.001 / (square * __builtin_sqrt(square));
                p->vx -= dx * q->mass * pull, p->vy -= dy * q->mass * pull, p->vz -= dz * q->mass * pull;
                q->vx += dx * p->mass * pull, q->vy += dy * p->mass * pull, q->vz += dz * p->mass * pull;
            }
        for (int i = 0; i < COUNT; i++) {
            Body *p = &bodies[i];
            p->x += 0.001 * p->vx, p->y += 0.001 * p->vy, p->z += 0.001 * p->vz;
        }
    }
    return (int)(bodies[0].x * 1e8);
}
