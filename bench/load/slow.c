/* Some readers stop reading, and a sender goes on: what the others notice, and what becomes of those. */
#include "crowd.h"
#include "pace.h"
#include "report.h"
#include "scenarios.h"

#include <math.h>

static const uint64_t GLANCE = 100000000; /* nanoseconds between two looks at the server */

static double silence; /* the longest of one who reads, beyond the pause between two messages: nanoseconds */
static struct {
    unsigned files;      /* that it had open in the beginning */
    double memory, peak; /* bytes: in the beginning, and the most since */
    uint32_t closed;     /* sockets of those who do not read */
    uint64_t closed_at;  /* the last one of them */
} server;

static void note_silence(const struct connection *connection, uint64_t at)
{
    uint64_t before = connection->delivered_at ? connection->delivered_at : pace_began();
    silence = fmax(silence, (double)at - (double)before - pace_interval());
}

static void delivered(struct crowd *crowd, struct connection *connection, uint32_t message, uint64_t at)
{
    (void)crowd, (void)message;
    note_silence(connection, at);
}

static void first_look(const struct crowd *crowd)
{
    pid_t pid = crowd->options->pids[0];
    server.files = pid ? files_of(pid) : 0;
    server.memory = server.peak = pid ? memory_of(pid) : 0;
}

/* A server may close a socket that takes nothing, not even the news that it is closed: so count its open files, too. */
static uint32_t count_closed(const struct crowd *crowd)
{
    unsigned files = crowd->options->pid_count ? files_of(crowd->options->pids[0]) : server.files;
    uint32_t gone = files < server.files ? server.files - files : 0;
    gone = gone > crowd->closed ? gone : crowd->closed;
    return gone < crowd->options->stalled ? gone : crowd->options->stalled;
}

static void look(const struct crowd *crowd)
{
    uint32_t closed = count_closed(crowd);
    if (crowd->options->pid_count)
        server.peak = fmax(server.peak, memory_of(crowd->options->pids[0]));
    if (closed > server.closed)
        server.closed_at = now();
    server.closed = closed > server.closed ? closed : server.closed;
}

static void last_look(const struct crowd *crowd)
{
    look(crowd);
    for (uint32_t i = 0; i < crowd->count; i++)
        if (!crowd->connections[i].stalled && crowd->connections[i].place < crowd->rooms->ledger.sent)
            note_silence(&crowd->connections[i], crowd->ended);
}

static void report(const struct crowd *crowd)
{
    crowd_report(crowd);
    report_quantiles("", &crowd->latencies);
    report_duration("longest_silence", silence);
    report_count("stalled", crowd->options->stalled);
    report_count("closed", server.closed);
    report_number("closed_after", server.closed ? (double)(server.closed_at - pace_began()) / 1e9 : 0);
    if (!crowd->options->pid_count)
        return;
    report_number("rss_growth", server.peak - server.memory);
    report_number("rss_growth_left", memory_of(crowd->options->pids[0]) - server.memory);
}

void slow(const struct options *options)
{
    static struct crowd crowd;
    crowd_make(&crowd, options, pace_total(options));
    crowd.delivered = delivered;
    crowd_gather(&crowd);
    crowd_stall(&crowd);
    first_look(&crowd);
    crowd_measure(&crowd);
    pace_start(&crowd);
    while (now() < pace_end() && now() < crowd.deadline) {
        crowd_rest(&crowd, now() + GLANCE);
        look(&crowd);
    }
    crowd_finish(&crowd);
    last_look(&crowd);
    report(&crowd);
    crowd_judge(&crowd);
    crowd_free(&crowd);
}
