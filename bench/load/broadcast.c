/* One message after the other to everybody: from the sender's frame to the last reader. */
#include "crowd.h"
#include "report.h"
#include "scenarios.h"

#include <stdlib.h>

static const uint64_t LINGER = 1000000; /* nanoseconds; nobody waits for what is understood a little later */

static int by_size(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static void report(const uint64_t *samples, uint64_t *sorted, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = samples[i];
    qsort(sorted, count, sizeof *sorted, by_size);
    report_duration("median", count ? (double)(sorted[(count - 1) / 2] + sorted[count / 2]) / 2 : 0);
    report_duration("p99", count ? (double)sorted[(uint64_t)(count - 1) * 99 / 100] : 0);
    report_duration("worst", count ? (double)sorted[count - 1] : 0);
    report_samples("samples", samples, count);
}

void broadcast(const struct options *options)
{
    static struct crowd crowd;
    crowd_make(&crowd, options, options->messages);
    crowd.linger = LINGER;
    crowd_gather(&crowd);
    uint64_t *samples = calloc(options->messages + 1, 2 * sizeof *samples);
    if (!samples)
        fail("no memory for %u samples", options->messages);
    uint32_t count = 0;
    uint64_t awaited = 0; /* nanoseconds in which a message was on its way */
    double cpu = 0;       /* seconds of ours meanwhile */
    crowd_measure(&crowd);
    while (count < options->messages) {
        double before = crowd_cpu(&crowd);
        say(&crowd, &crowd.connections[0], 0);
        if (!crowd_settle(&crowd))
            break;
        samples[count] = crowd.delivered_at - crowd.rooms[0].ledger.sent_at[count];
        awaited += samples[count++];
        cpu += crowd.cpu_read - before;
        crowd_rest(&crowd, now() + (uint64_t)(options->pause * 1e6));
    }
    crowd_finish(&crowd);
    crowd.share = awaited ? cpu * 1e9 / (double)awaited : 0;
    crowd_report(&crowd);
    report_quantiles("delivery_", &crowd.latencies);
    report(samples, samples + count, count);
    free(samples);
    crowd_judge(&crowd);
    crowd_free(&crowd);
}
