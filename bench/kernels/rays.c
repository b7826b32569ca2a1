/* Structures of doubles, handed to small functions: an n x n picture of spheres, with shadows. */
#include "kernel.h"
typedef struct { double x, y, z; } Vector;
typedef struct { Vector center; double radius; int shade; } Sphere;
static const Sphere spheres[] = {
    {{0, -1001, 0}, 1000, 3}, {{0, 0, 4}, 1, 11}, {{1.5, 0.5, 5}, 1.2, 7}, {{-1.5, -0.2, 3}, 0.8, 5}, {{0.4, -0.6, 2.5}, 0.4, 13},
};
static Vector __attribute__((noinline)) along(Vector a, Vector b, double t) {
    return (Vector){a.x + b.x * t, a.y + b.y * t, a.z + b.z * t};
}
static double __attribute__((noinline)) dot(const Vector *a, const Vector *b) { return a->x * b->x + a->y * b->y + a->z * b->z; }
static double hit(const Sphere *sphere, Vector from, Vector to) {
    Vector way = along(from, sphere->center, -1);
    double b = dot(&way, &to), c = dot(&way, &way) - sphere->radius * sphere->radius, square = b * b - c;
    if (square < 0) return -1;
    double root = __builtin_sqrt(square);
    return -b - root > 1e-4 ? -b - root : -b + root > 1e-4 ? -b + root : -1;
}
static const Sphere *nearest(Vector from, Vector to, double *distance) {
    const Sphere *found = 0;
    *distance = 1e9;
    for (int i = 0; i < (int)(sizeof spheres / sizeof *spheres); i++) {
        double t = hit(&spheres[i], from, to);
        if (t > 0 && t < *distance) *distance = t, found = &spheres[i];
    }
    return found;
}
EXPORT int run(int n) {
    const Vector light = {0.48, 0.6, -0.64};
    int sum = 0;
    for (int row = 0; row < n; row++)
        for (int column = 0; column < n; column++) {
            Vector way = {2.0 * column / n - 1, 1 - 2.0 * row / n, 1.5};
            double distance, scale = 1 / __builtin_sqrt(dot(&way, &way));
            Vector to = {way.x * scale, way.y * scale, way.z * scale}, eye = {0, 0, -1};
            const Sphere *sphere = nearest(eye, to, &distance);
            if (!sphere) continue;
            Vector place = along(eye, to, distance), normal = along(place, sphere->center, -1);
            double bright = dot(&normal, &light) / sphere->radius;
            if (bright > 0 && !nearest(place, light, &distance)) sum += (int)(bright * 100) * sphere->shade;
            else sum += sphere->shade;
        }
    return sum;
}
