/* At a fixed rate, in one room or in many: how late everything comes, and what it costs. */
#include "crowd.h"
#include "pace.h"
#include "report.h"
#include "scenarios.h"

#include <math.h>

static const uint64_t GLANCE = 20000000; /* nanoseconds between two looks at how late everything is */

static void report(const struct crowd *crowd)
{
    double took = fmax(1e-9, (double)(crowd->delivered_at - crowd->began) / 1e9);
    double deliveries = (double)crowd->deliveries;
    crowd_report(crowd);
    report_quantiles("", &crowd->latencies);
    report_number("offered", crowd->options->rate);
    report_number("rate", deliveries / crowd->rooms->hearers / took);
    report_number("deliveries_per_second", deliveries / took);
    if (crowd->options->pid_count)
        report_number("server_cpu_per_delivery", crowd->server_cpu * 1e6 / fmax(1, deliveries));
    report_histogram("histogram", &crowd->latencies);
}

/* Whether more than one in a hundred of all deliveries there are to be took too long. */
static bool is_hopeless(const struct crowd *crowd)
{
    const struct options *options = crowd->options;
    double owed = (double)pace_total(options) * crowd->rooms->hearers;
    uint64_t late = histogram_beyond(&crowd->latencies, (uint64_t)(options->within * 1e6));
    return options->within > 0 && (double)late * 100 > owed;
}

/* Say everything. Returns false where there was no point in going on. */
static bool say_all(struct crowd *crowd)
{
    while (now() < pace_end() && now() < crowd->deadline) {
        crowd_rest(crowd, now() + GLANCE < pace_end() ? now() + GLANCE : pace_end());
        if (is_hopeless(crowd))
            return false;
    }
    return true;
}

void sustained(const struct options *options)
{
    static struct crowd crowd;
    crowd_make(&crowd, options, pace_total(options) / options->rooms + options->senders);
    crowd_gather(&crowd);
    crowd_measure(&crowd);
    pace_start(&crowd);
    bool said = say_all(&crowd);
    if (said)
        crowd_finish(&crowd);
    else
        crowd_stop(&crowd);
    report(&crowd);
    if (!said)
        fail("more than one delivery in a hundred took longer than %g ms", options->within);
    crowd_judge(&crowd);
    crowd_free(&crowd);
}
