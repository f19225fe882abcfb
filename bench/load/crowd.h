/*
 * Many sockets in one thread: they connect, read, and say something, and one epoll tells which of them can.
 *
 * What is read is dated and put aside; it is understood when no socket has anything more to give (or there is no place
 * left). So the last reader does not wait until the frames of those before it are inflated and checked: on browsers'
 * own machines it would not, either.
 */
#ifndef CROWD_H
#define CROWD_H

#include "bytes.h"
#include "histogram.h"
#include "inflater.h"
#include "ledger.h"
#include "lines.h"
#include "options.h"

#include <stdbool.h>
#include <stdint.h>

enum state { UNCONNECTED, CONNECTING, SHAKING, OPEN, UP, CLOSED };

/* A room: its sockets stand side by side in the crowd, the senders first. */
struct room {
    const char *path;
    struct ledger ledger;
    uint32_t start, senders, members, hearers; /* hearers: the members that do not stall */
    uint64_t deliveries;
};

struct connection {
    int socket;
    enum state state;
    bool sender, stalled, deaf; /* stalled: made to stop reading; deaf: it has */
    bool parted, compressed; /* `parts` holds the beginning of a message; which is compressed */
    uint32_t index, place;   /* in the crowd; how many messages it got */
    uint64_t delivered_at;   /* when the last message came, nanoseconds */
    struct room *room;
    const char *cookie; /* or NULL */
    char key[25];
    struct inflater *inflater; /* or NULL */
    struct bytes rest;         /* read, and not yet a whole frame */
    struct bytes parts;        /* of a message in several frames */
    size_t parts_wire;         /* bytes of these frames */
    struct bytes unsent;       /* what the socket did not take */
};

struct inbox;

struct crowd {
    const struct options *options;
    int epoll;
    struct connection *connections;
    uint32_t count, started, up, deflated, closed;
    struct room *rooms;
    struct lines paths, cookies;
    struct inbox *inbox;
    char run[16];    /* what the keys of this run begin with */
    uint64_t linger; /* nanoseconds without anything new, before what was read is understood */
    uint64_t deadline, wake_at;

    /* What a scenario wants to know. */
    uint64_t (*due)(struct crowd *crowd, uint64_t now); /* called at `wake_at`; returns when to call it again */
    void (*delivered)(struct crowd *crowd, struct connection *connection, uint32_t message, uint64_t at);
    void (*receipted)(struct crowd *crowd, struct connection *connection, uint32_t message, uint64_t at);

    /* Since `crowd_measure`. */
    uint64_t began, ended;               /* nanoseconds */
    bool late;                           /* it ended because the deadline came */
    uint64_t delivered_at, receipted_at; /* the last ones */
    uint64_t deliveries, frames, wire_bytes, payload_bytes; /* frames and bytes of those with messages in them */
    struct histogram latencies, answers; /* from when it was sent, or due, to each delivery, and to the receipt */
    double spun;                          /* seconds of this program's in which nothing had come */
    double cpu, server_cpu, database_cpu; /* seconds: when it began; after `crowd_finish`, what it took */
    double share;           /* after `crowd_finish`, of the time: what this program took of its core */
    double cpu_read;        /* seconds of this program's, until all was read that is understood now */
};

/* Make the rooms and their sockets, without connecting them. A room can take `capacity` messages. */
void crowd_make(struct crowd *crowd, const struct options *options, uint32_t capacity);
void crowd_free(struct crowd *crowd);
/* Connect all, and return when all are up; report how many, and how long it took. */
void crowd_gather(struct crowd *crowd);
/* Start to count, and to measure. */
void crowd_measure(struct crowd *crowd);
/* The CPU time that this program has had so far, but for looking in vain, in seconds. */
double crowd_cpu(const struct crowd *crowd);
/* The same of the servers; 0 where none was named. */
double cpu_of_servers(const struct options *options);
/* Wait for something until the time `until`, in nanoseconds, and take it. */
void crowd_turn(struct crowd *crowd, uint64_t until);
/* Turn until then, or the deadline. */
void crowd_rest(struct crowd *crowd, uint64_t until);
/* How many deliveries there must be of what was sent. */
uint64_t crowd_owed(const struct crowd *crowd);
/* Turn until everybody got everything that was sent, and the senders their receipts. False where the deadline came. */
bool crowd_settle(struct crowd *crowd);
/* Stop to measure. */
void crowd_stop(struct crowd *crowd);
/* Settle, stop to measure, and see that nothing comes a second time. */
void crowd_finish(struct crowd *crowd);
/* Have those who are made to stall stop reading. */
void crowd_stall(struct crowd *crowd);
/* Report what was counted and measured. */
void crowd_report(const struct crowd *crowd);
/* End the program with an error where not everything has come. */
void crowd_judge(const struct crowd *crowd);

/* Say the next message; its clock starts at `due`, or, if that is 0, when it is written. */
void say(struct crowd *crowd, struct connection *sender, uint64_t due);

#endif
