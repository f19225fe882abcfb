/* At a fixed rate, in one room or in many: how late everything comes, and what it costs. */
#include "crowd.h"
#include "pace.h"
#include "report.h"
#include "scenarios.h"

#include <math.h>

static void report(const struct crowd *crowd)
{
    double took = fmax(1e-9, (double)(crowd->delivered_at - crowd->began) / 1e9);
    double deliveries = (double)crowd->deliveries;
    crowd_report(crowd);
    report_quantiles("", &crowd->latencies);
    report_number("offered", crowd->options->rate);
    report_number("rate", deliveries / crowd->rooms->hearers / took);
    report_number("deliveries_per_second", deliveries / took);
    if (crowd->options->pid)
        report_number("server_cpu_per_delivery", crowd->server_cpu * 1e6 / fmax(1, deliveries));
    report_histogram("histogram", &crowd->latencies);
}

void sustained(const struct options *options)
{
    static struct crowd crowd;
    crowd_make(&crowd, options, pace_total(options) / options->rooms + options->senders);
    crowd_gather(&crowd);
    crowd_measure(&crowd);
    pace_start(&crowd);
    crowd_rest(&crowd, pace_end());
    crowd_finish(&crowd);
    report(&crowd);
    crowd_judge(&crowd);
    crowd_free(&crowd);
}
