/* All are there, and nobody says anything: so that one can see what a connection costs. */
#include "crowd.h"
#include "report.h"
#include "scenarios.h"

#include <poll.h>
#include <unistd.h>

static const uint64_t GLANCE = 50000000; /* nanoseconds between two looks at stdin */

/* Beyond those that texts have: what others say does not matter. */
static const unsigned NO_NUMBER = 1000000000;

static bool is_stdin_open(void)
{
    char something[256];
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) <= 0 || read(STDIN_FILENO, something, sizeof something) > 0;
}

void idle(const struct options *options)
{
    static struct crowd crowd;
    struct options deaf = *options;
    deaf.first = NO_NUMBER;
    crowd_make(&crowd, &deaf, 0);
    double cpu = cpu_of_this();
    crowd_gather(&crowd);
    double seconds = (double)(now() - crowd.began) / 1e9;
    report_number("seconds", seconds);
    report_number("client_share", (cpu_of_this() - cpu) / seconds);
    report_close();
    while (is_stdin_open()) {
        if (now() >= crowd.deadline)
            fail("stdin was still open after %g s", options->deadline);
        crowd_rest(&crowd, now() + GLANCE);
    }
    crowd_free(&crowd);
}
