/* What was asked for on the command line. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum protocol { PARLOR, PLAIN, SOCKETIO };
enum { MOST_PIDS = 64 };

struct options {
    const char *scenario, *host, *path, *cookies, *paths, *from, *origin;
    enum protocol protocol;
    bool deflate, spin;
    unsigned port, ports, addresses, window; /* how to connect; the ports follow each other */
    unsigned rooms, alone;                   /* of these, the last ones, which have no readers */
    unsigned readers, senders, stalled;      /* in each room; the stalled are among the readers */
    unsigned messages, first, size;          /* what is said */
    double rate, seconds, pause, deadline;   /* per second, seconds, milliseconds, seconds */
    double within;                           /* milliseconds, 0 for as long as it takes */
    pid_t pids[MOST_PIDS], database;         /* the servers, and the parent of the database's; 0 if not told */
    unsigned pid_count;
};

/* Read the command line; what is wrong in it is said on stderr, and ends the program with 2. */
struct options options_read(int count, char **words);

#endif
