/* A fixed rate: what is due is sent as soon as the thread is free, and never skipped. */
#include "pace.h"

#include "report.h"

static struct {
    uint64_t start;
    double interval; /* nanoseconds */
    uint32_t total, sent;
} pace;

static uint64_t due_at(uint32_t message)
{
    return pace.start + (uint64_t)(message * pace.interval);
}

static struct connection *sender_of(struct crowd *crowd, uint32_t message)
{
    uint32_t turn = message % (crowd->options->senders * crowd->options->rooms);
    struct room *room = &crowd->rooms[turn % crowd->options->rooms];
    return &crowd->connections[room->start + turn / crowd->options->rooms];
}

static uint64_t send_due(struct crowd *crowd, uint64_t at)
{
    for (; pace.sent < pace.total && due_at(pace.sent) <= at; pace.sent++)
        say(crowd, sender_of(crowd, pace.sent), due_at(pace.sent));
    return pace.sent < pace.total ? due_at(pace.sent) : UINT64_MAX;
}

uint32_t pace_total(const struct options *options)
{
    double total = options->rate * options->seconds;
    if (total < 1 || total > UINT32_MAX)
        fail("--rate and --seconds come to %g messages", total);
    return (uint32_t)total;
}

void pace_start(struct crowd *crowd)
{
    pace.total = pace_total(crowd->options);
    pace.interval = 1e9 / crowd->options->rate;
    pace.start = crowd->wake_at = now();
    crowd->due = send_due;
}

uint64_t pace_end(void)
{
    return due_at(pace.total);
}

uint64_t pace_began(void)
{
    return pace.start;
}

double pace_interval(void)
{
    return pace.interval;
}
