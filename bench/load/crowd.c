/* Many sockets in one thread: what epoll tells, what is put aside, and when it is understood. */
#include "crowd.h"

#include "connection.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 1024, READ = 65536, INBOX_BYTES = 16 << 20, INBOX_READS = 65536, SPARE_FILES = 64 };

static const uint64_t QUIET = 50000000; /* nanoseconds in the end, in which nothing may come a second time */

/* What was read, in the order in which it came. */
struct inbox {
    uint32_t count;
    size_t length;
    struct letter {
        struct connection *to;
        size_t start, length;
        uint64_t at;
    } letters[INBOX_READS];
    char bytes[INBOX_BYTES];
};

/* Who there is */

static void *some(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        fail("no memory");
    return memory;
}

static void allow_files(uint32_t count)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t wanted = count + SPARE_FILES;
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted;
    limit.rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        fail("this system does not allow %u files at once", (unsigned)wanted);
}

static void make_rooms(struct crowd *crowd, uint32_t capacity)
{
    const struct options *options = crowd->options;
    crowd->paths = lines_read(options->paths);
    if (options->paths && crowd->paths.count < options->rooms)
        fail("%s names %u rooms of %u", options->paths, crowd->paths.count, options->rooms);
    crowd->rooms = some(options->rooms, sizeof *crowd->rooms);
    const char *path = options->path;
    for (struct room *room = crowd->rooms; room < crowd->rooms + options->rooms; room++) {
        path = options->paths ? lines_next(&crowd->paths, room == crowd->rooms ? NULL : path) : path;
        room->path = path;
        room->start = crowd->count;
        room->senders = options->senders;
        bool alone = room >= crowd->rooms + options->rooms - options->alone;
        room->members = options->senders + (alone ? 0 : options->readers);
        room->hearers = room->members - (alone ? 0 : options->stalled);
        ledger_open(&room->ledger, options->first, capacity, options->senders == 1);
        crowd->count += room->members;
    }
}

static void make_connection(struct crowd *crowd, struct room *room, uint32_t number)
{
    struct connection *connection = &crowd->connections[room->start + number];
    connection->index = room->start + number;
    connection->room = room;
    connection->sender = number < room->senders;
    connection->stalled = number >= room->hearers;
}

/* The senders of all rooms take the first cookies; the readers the ones behind, where there is just one for each. */
static void deal_cookies(struct crowd *crowd)
{
    crowd->cookies = lines_read(crowd->options->cookies);
    uint32_t senders = crowd->options->senders * crowd->options->rooms;
    if (!crowd->cookies.count)
        return;
    if (crowd->cookies.count < senders)
        fail("%u cookies for %u senders", crowd->cookies.count, senders);
    const char *cookie = NULL;
    for (int readers = 0; readers <= (crowd->cookies.count == crowd->count); readers++)
        for (struct connection *one = crowd->connections; one < crowd->connections + crowd->count; one++)
            if (one->sender == !readers)
                one->cookie = cookie = lines_next(&crowd->cookies, cookie);
}

void crowd_make(struct crowd *crowd, const struct options *options, uint32_t capacity)
{
    *crowd = (struct crowd){.options = options, .deadline = now() + (uint64_t)(options->deadline * 1e9)};
    make_rooms(crowd, capacity);
    allow_files(crowd->count);
    crowd->connections = some(crowd->count, sizeof *crowd->connections);
    for (struct room *room = crowd->rooms; room < crowd->rooms + options->rooms; room++)
        for (uint32_t number = 0; number < room->members; number++)
            make_connection(crowd, room, number);
    deal_cookies(crowd);
    crowd->inbox = some(1, sizeof *crowd->inbox);
    snprintf(crowd->run, sizeof crowd->run, "%08x-", (unsigned)(now() / 1000));
    crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (crowd->epoll < 0)
        fail("epoll_create1: %s", strerror(errno));
}

void crowd_free(struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->count; i++)
        connection_free(&crowd->connections[i]);
    for (uint32_t i = 0; i < crowd->options->rooms; i++)
        ledger_close(&crowd->rooms[i].ledger);
    close(crowd->epoll);
    lines_free(&crowd->cookies);
    lines_free(&crowd->paths);
    free(crowd->connections);
    free(crowd->rooms);
    free(crowd->inbox);
}

/* What comes in */

static void understand(struct crowd *crowd)
{
    struct inbox *inbox = crowd->inbox;
    crowd->cpu_read = crowd_cpu(crowd);
    for (struct letter *letter = inbox->letters; letter < inbox->letters + inbox->count; letter++)
        connection_take(crowd, letter->to, inbox->bytes + letter->start, letter->length, letter->at);
    inbox->count = 0;
    inbox->length = 0;
}

static void put_aside(struct inbox *inbox, struct connection *connection, size_t length, uint64_t at)
{
    inbox->letters[inbox->count++] = (struct letter){connection, inbox->length, length, at};
    inbox->length += length;
}

static void do_what_is_due(struct crowd *crowd, uint64_t at)
{
    if (crowd->due && at >= crowd->wake_at)
        crowd->wake_at = crowd->due(crowd, at);
}

/* Returns whether there may be more. */
static bool read_some(struct crowd *crowd, struct connection *connection)
{
    struct inbox *inbox = crowd->inbox;
    if (inbox->count == INBOX_READS || INBOX_BYTES - inbox->length < READ)
        understand(crowd);
    ssize_t length = recv(connection->socket, inbox->bytes + inbox->length, READ, 0);
    uint64_t at = now();
    if (length > 0) {
        put_aside(inbox, connection, (size_t)length, at);
        do_what_is_due(crowd, at);
    } else if (!length || errno != EAGAIN) {
        understand(crowd); /* it may have said why */
        connection_closed(crowd, connection, length ? strerror(errno) : "without a word");
    }
    return length == READ;
}

/* Read all there is: nobody tells a second time. Up to the end, where that has come, too. */
static void read_all(struct crowd *crowd, struct connection *connection, bool ends)
{
    bool more = true;
    while (more && connection->state != CLOSED)
        more = read_some(crowd, connection) || ends;
}

static void take_event(struct crowd *crowd, const struct epoll_event *event)
{
    struct connection *connection = event->data.ptr;
    if (event->events & EPOLLOUT && connection->state != CLOSED)
        connection_writable(crowd, connection);
    if (connection->state == CLOSED)
        return;
    if (event->events & EPOLLIN || (!connection->deaf && event->events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)))
        read_all(crowd, connection, event->events & ~(uint32_t)(EPOLLIN | EPOLLOUT));
    else if (connection->deaf)
        connection_closed(crowd, connection, "without a word");
}

uint64_t crowd_owed(const struct crowd *crowd)
{
    uint64_t owed = 0;
    for (uint32_t i = 0; i < crowd->options->rooms; i++)
        owed += (uint64_t)crowd->rooms[i].ledger.sent * crowd->rooms[i].hearers;
    return owed;
}

/* How long to wait: nanoseconds. */
static uint64_t patience(const struct crowd *crowd, uint64_t until)
{
    uint64_t at = now();
    if (crowd->inbox->count)
        until = at + crowd->linger;
    until = crowd->due && crowd->wake_at < until ? crowd->wake_at : until;
    until = crowd->deadline < until ? crowd->deadline : until;
    return until > at ? until - at : 0;
}

static int sleep_for(struct crowd *crowd, struct epoll_event *events, uint64_t wait)
{
    struct timespec time = {.tv_sec = (time_t)(wait / 1000000000), .tv_nsec = (long)(wait % 1000000000)};
    return epoll_pwait2(crowd->epoll, events, EVENTS, &time, NULL);
}

static int spin_for(struct crowd *crowd, struct epoll_event *events, uint64_t wait)
{
    int count;
    uint64_t until = now() + wait;
    double before = cpu_of_this(); /* not the time: the core may be another's meanwhile */
    do
        count = epoll_wait(crowd->epoll, events, EVENTS, 0);
    while (!count && now() < until);
    crowd->spun += cpu_of_this() - before;
    return count;
}

void crowd_turn(struct crowd *crowd, uint64_t until)
{
    struct epoll_event events[EVENTS];
    int count = (crowd->options->spin ? spin_for : sleep_for)(crowd, events, patience(crowd, until));
    if (count < 0 && errno != EINTR)
        fail("epoll: %s", strerror(errno));
    for (int i = 0; i < count; i++)
        take_event(crowd, &events[i]);
    if (count <= 0)
        understand(crowd);
    do_what_is_due(crowd, now());
}

/* From the first socket to the last */

static bool is_late(const struct crowd *crowd)
{
    return now() >= crowd->deadline;
}

void crowd_gather(struct crowd *crowd)
{
    crowd->began = now();
    while (crowd->up < crowd->count && !is_late(crowd)) {
        while (crowd->started < crowd->count && crowd->started - crowd->up < crowd->options->window)
            connection_start(crowd, &crowd->connections[crowd->started++]);
        crowd_turn(crowd, crowd->deadline);
    }
    report_count("up", crowd->up);
    report_count("deflated", crowd->deflated);
    report_number("up_seconds", (double)(now() - crowd->began) / 1e9);
    if (crowd->up < crowd->count)
        fail("only %u of %u sockets were up after %g s", crowd->up, crowd->count, crowd->options->deadline);
}

double crowd_cpu(const struct crowd *crowd)
{
    return cpu_of_this() - crowd->spun;
}

double cpu_of_servers(const struct options *options)
{
    double seconds = 0;
    for (unsigned i = 0; i < options->pid_count; i++)
        seconds += cpu_of(options->pids[i]);
    return seconds;
}

static double cpu_of_database(const struct options *options)
{
    return options->database ? cpu_of_family(options->database) : 0;
}

void crowd_measure(struct crowd *crowd)
{
    crowd->began = now();
    crowd->cpu = crowd_cpu(crowd);
    crowd->server_cpu = cpu_of_servers(crowd->options);
    crowd->database_cpu = cpu_of_database(crowd->options);
}

void crowd_rest(struct crowd *crowd, uint64_t until)
{
    while (now() < until && !is_late(crowd))
        crowd_turn(crowd, until);
}

static bool is_settled(const struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->options->rooms; i++)
        if (crowd->rooms[i].ledger.receipts < crowd->rooms[i].ledger.sent)
            return false;
    return crowd->deliveries == crowd_owed(crowd);
}

bool crowd_settle(struct crowd *crowd)
{
    while (!is_settled(crowd) && !is_late(crowd))
        crowd_turn(crowd, crowd->deadline);
    return is_settled(crowd);
}

void crowd_stop(struct crowd *crowd)
{
    crowd->ended = now();
    crowd->late = is_late(crowd);
    crowd->cpu = crowd_cpu(crowd) - crowd->cpu;
    crowd->share = crowd->cpu * 1e9 / (double)(crowd->ended - crowd->began);
    crowd->server_cpu = cpu_of_servers(crowd->options) - crowd->server_cpu;
    crowd->database_cpu = cpu_of_database(crowd->options) - crowd->database_cpu;
}

void crowd_finish(struct crowd *crowd)
{
    crowd_settle(crowd);
    crowd_stop(crowd);
    crowd_rest(crowd, now() + QUIET);
}

void crowd_stall(struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->count; i++)
        if (crowd->connections[i].stalled)
            connection_deafen(crowd, &crowd->connections[i]);
}

static double each(uint64_t sum, uint64_t count)
{
    return count ? (double)sum / (double)count : 0;
}

static void count_messages(const struct crowd *crowd, uint32_t *sent, uint32_t *receipts)
{
    *sent = *receipts = 0;
    for (uint32_t i = 0; i < crowd->options->rooms; i++) {
        *sent += crowd->rooms[i].ledger.sent;
        *receipts += crowd->rooms[i].ledger.receipts;
    }
}

void crowd_report(const struct crowd *crowd)
{
    uint32_t sent, receipts;
    count_messages(crowd, &sent, &receipts);
    report_number("seconds", (double)(crowd->ended - crowd->began) / 1e9);
    report_number("client_cpu", crowd->cpu);
    report_number("client_share", crowd->share);
    if (crowd->options->pid_count)
        report_number("server_cpu", crowd->server_cpu);
    if (crowd->options->database)
        report_number("database_cpu", crowd->database_cpu);
    report_count("sent", sent);
    report_count("receipts", receipts);
    report_count("received", crowd->deliveries);
    report_count("frames", crowd->frames);
    report_number("payload_bytes_per_delivery", each(crowd->payload_bytes, crowd->deliveries));
    report_number("wire_bytes_per_delivery", each(crowd->wire_bytes, crowd->deliveries));
    report_quantiles("receipt_", &crowd->answers);
}

void crowd_judge(const struct crowd *crowd)
{
    uint32_t sent, receipts;
    count_messages(crowd, &sent, &receipts);
    if (crowd->late || !is_settled(crowd))
        fail("it took longer than %g s: %llu of %llu deliveries and %u of %u receipts had come",
             crowd->options->deadline, (unsigned long long)crowd->deliveries, (unsigned long long)crowd_owed(crowd),
             receipts, sent);
}
