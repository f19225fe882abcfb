/*
 * What a message costs the server with readers and without: in turns, on the same sockets.
 *
 * A small difference between two large figures is only seen where everything else is the same, this moment's noise
 * included. So the rooms with readers and those without are all open, and for half a second the ones speak, then the
 * others.
 */
#include "crowd.h"
#include "report.h"
#include "scenarios.h"

#include <stdlib.h>

static const uint64_t TURN = 500000000; /* nanoseconds */
static const double MOST = 200000;      /* messages per second for which there is memory */

static uint64_t end; /* of this turn */

static void go_on(struct crowd *crowd, struct connection *connection, uint32_t message, uint64_t at)
{
    (void)message;
    if (at < end)
        say(crowd, connection, 0);
}

/* Have the senders of the rooms from `first` on speak, and return what each message cost the server: nanoseconds. */
static uint64_t take_turn(struct crowd *crowd, uint32_t first, uint32_t count)
{
    uint64_t before = crowd->answers.total;
    double cpu = cpu_of_servers(crowd->options);
    end = now() + TURN;
    for (struct room *room = crowd->rooms + first; room < crowd->rooms + first + count; room++)
        for (uint32_t i = 0; i < room->senders; i++)
            say(crowd, &crowd->connections[room->start + i], 0);
    crowd_rest(crowd, end);
    if (!crowd_settle(crowd))
        return 0;
    return (uint64_t)((cpu_of_servers(crowd->options) - cpu) * 1e9 / (double)(crowd->answers.total - before));
}

void turns(const struct options *options)
{
    static struct crowd crowd;
    uint32_t pairs = (uint32_t)(options->seconds * 1e9 / (2 * (double)TURN)), shared = options->rooms - options->alone;
    uint64_t *costs = calloc(2 * (size_t)pairs + 1, sizeof *costs); /* first with readers, then without */
    if (!costs)
        fail("no memory for %u turns", 2 * pairs);
    crowd_make(&crowd, options, (uint32_t)(MOST * options->seconds / options->rooms) + options->senders);
    crowd.receipted = go_on;
    crowd_gather(&crowd);
    crowd_measure(&crowd);
    for (uint32_t pair = 0; pair < pairs; pair++) {
        costs[pair] = take_turn(&crowd, 0, shared);
        costs[pairs + pair] = take_turn(&crowd, shared, options->alone);
    }
    crowd_finish(&crowd);
    crowd_report(&crowd);
    report_samples("shared", costs, pairs);
    report_samples("alone", costs + pairs, pairs);
    free(costs);
    crowd_judge(&crowd);
    crowd_free(&crowd);
}
