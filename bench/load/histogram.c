/* A histogram with a logarithmic scale. A bucket is an octave and a 64th of it. */
#include "histogram.h"

#include <math.h>

static const int WRITTEN = 16; /* buckets that become one in print: four to the octave */

static unsigned bucket(uint64_t value)
{
    if (value < STEPS)
        return (unsigned)value;
    unsigned octave = 58 - (unsigned)__builtin_clzll(value);
    unsigned found = octave * STEPS + (unsigned)(value >> (octave - 1)) % STEPS;
    return found < OCTAVES * STEPS ? found : OCTAVES * STEPS - 1;
}

/* The first duration that is beyond a bucket. */
static double end_of(unsigned bucket)
{
    return bucket < STEPS ? bucket + 1 : ldexp(STEPS + bucket % STEPS + 1, (int)(bucket / STEPS) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t nanoseconds)
{
    histogram->counts[bucket(nanoseconds)]++;
    histogram->total++;
    if (nanoseconds > histogram->worst)
        histogram->worst = nanoseconds;
}

double histogram_quantile(const struct histogram *histogram, double share)
{
    double wanted = ceil(share * (double)histogram->total);
    uint64_t passed = 0;
    for (unsigned i = 0; i < OCTAVES * STEPS; i++) {
        passed += histogram->counts[i];
        if (passed && (double)passed >= wanted)
            return fmin(end_of(i), (double)histogram->worst);
    }
    return 0;
}

uint64_t histogram_beyond(const struct histogram *histogram, uint64_t nanoseconds)
{
    uint64_t beyond = 0;
    for (unsigned i = bucket(nanoseconds) + 1; i < OCTAVES * STEPS; i++)
        beyond += histogram->counts[i];
    return beyond;
}

void histogram_write(const struct histogram *histogram, FILE *to)
{
    const char *comma = "";
    uint64_t count = 0;
    fputc('[', to);
    for (unsigned i = 0; i < OCTAVES * STEPS; i++) {
        count += histogram->counts[i];
        if (i % WRITTEN == WRITTEN - 1 && count) {
            fprintf(to, "%s[%.4g,%llu]", comma, end_of(i) / 1000, (unsigned long long)count);
            comma = ",";
            count = 0;
        }
    }
    fputc(']', to);
}
