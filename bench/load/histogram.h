/* How often each duration came: 64 steps to the octave, so a figure is right to 1 %. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum { STEPS = 64, OCTAVES = 48 };

struct histogram {
    uint64_t counts[OCTAVES * STEPS];
    uint64_t total, worst;
};

void histogram_add(struct histogram *histogram, uint64_t nanoseconds);
/* The duration, in nanoseconds, that `share` of all (0 to 1) do not exceed; 0 where there is none. */
double histogram_quantile(const struct histogram *histogram, double share);
/* How many were longer, in nanoseconds; to 1 %. */
uint64_t histogram_beyond(const struct histogram *histogram, uint64_t nanoseconds);
/* Write it as a JSON array of [microseconds, count]: so many took up to so long, and longer than the pair before. */
void histogram_write(const struct histogram *histogram, FILE *to);

#endif
