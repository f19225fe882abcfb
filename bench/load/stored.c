/* Each sender says the next when it has its receipt: how many messages a second are stored. */
#include "crowd.h"
#include "report.h"
#include "scenarios.h"

static const double MOST = 200000; /* messages per second for which there is memory */

static uint64_t end;

static void go_on(struct crowd *crowd, struct connection *connection, uint32_t message, uint64_t at)
{
    (void)message;
    if (at < end)
        say(crowd, connection, 0);
}

void stored(const struct options *options)
{
    static struct crowd crowd;
    crowd_make(&crowd, options, (uint32_t)(MOST * options->seconds / options->rooms) + options->senders);
    crowd.receipted = go_on;
    crowd_gather(&crowd);
    crowd_measure(&crowd);
    end = crowd.began + (uint64_t)(options->seconds * 1e9);
    for (uint32_t i = 0; i < crowd.count; i++)
        if (crowd.connections[i].sender)
            say(&crowd, &crowd.connections[i], 0);
    crowd_rest(&crowd, end);
    crowd_finish(&crowd);
    crowd_report(&crowd);
    report_quantiles("", &crowd.answers);
    report_number("rate", (double)crowd.answers.total * 1e9 / (double)(crowd.receipted_at - crowd.began));
    crowd_judge(&crowd);
    crowd_free(&crowd);
}
