/*
 * The load: sockets that say something to a chat server, and check what they hear. See `load --help`.
 *
 * It is one thread around one epoll, and far cheaper than what it measures. Its parts are in load/.
 */
#include "load/options.h"
#include "load/report.h"
#include "load/scenarios.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(const struct options *options);
} SCENARIOS[] = {
    {"broadcast", broadcast}, {"idle", idle}, {"sustained", sustained},
    {"stored", stored},       {"slow", slow}, {"rooms", sustained},
    {"turns", turns},
};

int main(int count, char **words)
{
    struct options options = options_read(count, words);
    report_open(options.scenario);
    for (size_t i = 0; i < sizeof SCENARIOS / sizeof *SCENARIOS; i++)
        if (!strcmp(SCENARIOS[i].name, options.scenario)) {
            SCENARIOS[i].run(&options);
            report_close();
            return EXIT_SUCCESS;
        }
    fail("there is no scenario %s", options.scenario);
}
