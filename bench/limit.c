/*
 * The limit: what a broadcast costs when nothing is done but to write it to each socket.
 *
 *     limit PORT FRAGMENT_FILE
 *
 * A WebSocket server in one thread around one epoll. Every text that comes from a socket goes to all of them, in the
 * fragment, in the place of its `{message}`: the frame is made once, and given to `send` for each. It does not
 * compress, does not escape, and trusts its clients.
 */
#include "load/accept.h"
#include "load/bytes.h"
#include "load/frames.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 1024, READ = 65536, FILES = 100000, BACKLOG = 4096, MOST_UNSENT = 16 << 20 };

static const char PLACE[] = "{message}";

struct client {
    int socket;
    uint32_t place; /* in `open`, where the handshake is done */
    bool is_open;
    struct bytes in, unsent;
};

static int epoll, door;
static struct client **open_clients;
static uint32_t open_count, open_capacity;
static struct bytes fragment;
static size_t place_start; /* of {message} in the fragment */

static _Noreturn void stop(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* Clients */

static void watch(struct client *client, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(epoll, how, client->socket, &event))
        stop("epoll_ctl");
}

static void admit(void)
{
    int one = 1, socket;
    while ((socket = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *client = calloc(1, sizeof *client);
        if (!client || setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
            stop("admit");
        client->socket = socket;
        watch(client, EPOLL_CTL_ADD, EPOLLIN);
    }
    if (errno != EAGAIN && errno != ECONNABORTED)
        stop("accept4");
}

static void join(struct client *client)
{
    if (open_count == open_capacity) {
        open_capacity = open_capacity ? open_capacity * 2 : 1024;
        open_clients = realloc(open_clients, open_capacity * sizeof *open_clients);
        if (!open_clients)
            stop("realloc");
    }
    client->is_open = true;
    client->place = open_count;
    open_clients[open_count++] = client;
}

static void let_go(struct client *client)
{
    if (client->is_open) {
        struct client *last = open_clients[--open_count];
        open_clients[client->place] = last;
        last->place = client->place;
    }
    close(client->socket);
    bytes_free(&client->in);
    bytes_free(&client->unsent);
    free(client);
}

/* Out */

/* Write what there is room for, and keep the rest. A broken socket is noticed where it is read. */
static void give(struct client *client, const char *bytes, size_t length)
{
    size_t sent = 0;
    if (!client->unsent.length) {
        ssize_t result = send(client->socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result == (ssize_t)length)
            return;
        sent = result < 0 ? 0 : (size_t)result;
        watch(client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    if (client->unsent.length > MOST_UNSENT)
        shutdown(client->socket, SHUT_RDWR);
    else
        bytes_append(&client->unsent, bytes + sent, length - sent);
}

static void give_rest(struct client *client)
{
    struct bytes *unsent = &client->unsent;
    ssize_t sent = send(client->socket, unsent->at, unsent->length, MSG_DONTWAIT | MSG_NOSIGNAL);
    bytes_drop(unsent, sent < 0 ? 0 : (size_t)sent);
    if (!unsent->length)
        watch(client, EPOLL_CTL_MOD, EPOLLIN);
}

static void broadcast(const char *text, size_t length)
{
    static struct bytes frame;
    char head[LONGEST_HEAD];
    size_t behind = place_start + strlen(PLACE);
    frame.length = 0;
    bytes_append(&frame, head, frame_head(head, TEXT, fragment.length - strlen(PLACE) + length, NULL));
    bytes_append(&frame, fragment.at, place_start);
    bytes_append(&frame, text, length);
    bytes_append(&frame, fragment.at + behind, fragment.length - behind);
    for (uint32_t i = 0; i < open_count; i++)
        give(open_clients[i], frame.at, frame.length);
}

static void answer(struct client *client, enum opcode opcode, const char *text, size_t length)
{
    char frame[LONGEST_HEAD + 125];
    size_t head = frame_head(frame, opcode, length, NULL);
    memcpy(frame + head, text, length);
    give(client, frame, head + length);
}

/* In */

/* The key in a request that is over at `end`; NULL where there is none. */
static const char *find_key(const char *request, const char *end)
{
    static const char NAME[] = "Sec-WebSocket-Key:";
    for (const char *line = request; line < end; line += 2) {
        const char *key = line + strlen(NAME);
        if (!strncasecmp(line, NAME, strlen(NAME))) {
            key += strspn(key, " ");
            return end - key < KEY_LENGTH ? NULL : key;
        }
        line = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
    }
    return NULL;
}

/* Returns the length of the request, 0 if it is not there as a whole, -1 if it is none. */
static ssize_t shake(struct client *client)
{
    char reply[256], accept[ACCEPT_LENGTH + 1];
    struct bytes *in = &client->in;
    const char *end = memmem(in->at, in->length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    const char *key = find_key(in->at, end);
    if (!key)
        return -1;
    handshake_accept(key, accept);
    int length = snprintf(reply, sizeof reply,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
    give(client, reply, (size_t)length);
    join(client);
    return end + 4 - in->at;
}

/* Returns false where it was a close. */
static bool take_frame(struct client *client, const struct frame *frame)
{
    static struct bytes text;
    text.length = 0;
    bytes_reserve(&text, frame->length + 1);
    frame_mask(text.at, frame->payload, frame->length, frame->mask);
    if (frame->opcode == TEXT)
        broadcast(text.at, frame->length);
    else if (frame->opcode == PING)
        answer(client, PONG, text.at, frame->length);
    else if (frame->opcode == CLOSE)
        answer(client, CLOSE, text.at, frame->length < 2 ? 0 : 2);
    return frame->opcode != CLOSE;
}

/* Returns false where the client has to go. */
static bool take(struct client *client)
{
    struct bytes *in = &client->in;
    struct frame frame;
    if (!client->is_open) {
        ssize_t size = shake(client);
        if (size <= 0)
            return !size;
        bytes_drop(in, (size_t)size);
    }
    size_t taken = 0;
    for (ssize_t size; (size = frame_read(in->at + taken, in->length - taken, &frame)); taken += (size_t)size)
        if (size < 0 || !frame.mask || !take_frame(client, &frame))
            return false;
    bytes_drop(in, taken);
    return true;
}

static void read_some(struct client *client)
{
    static char bytes[READ];
    ssize_t length = recv(client->socket, bytes, sizeof bytes, MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN)
        return;
    if (length > 0)
        bytes_append(&client->in, bytes, (size_t)length);
    if (length <= 0 || !take(client))
        let_go(client);
}

/* The start */

static void read_fragment(const char *path)
{
    char part[4096];
    FILE *file = fopen(path, "r");
    if (!file)
        stop(path);
    for (size_t length; (length = fread(part, 1, sizeof part, file));)
        bytes_append(&fragment, part, length);
    fclose(file);
    const char *found = fragment.length ? memmem(fragment.at, fragment.length, PLACE, strlen(PLACE)) : NULL;
    if (!found) {
        fprintf(stderr, "%s holds no %s\n", path, PLACE);
        exit(EXIT_FAILURE);
    }
    place_start = (size_t)(found - fragment.at);
}

static void allow_files(void)
{
    struct rlimit limit = {FILES, FILES};
    if (setrlimit(RLIMIT_NOFILE, &limit)) {
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void listen_at(int port)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (door < 0 || setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(door, (struct sockaddr *)&address, size) || listen(door, BACKLOG))
        stop("listen");
    struct epoll_event event = {.events = EPOLLIN};
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, door, &event))
        stop("epoll");
}

int main(int count, char **words)
{
    struct epoll_event events[EVENTS];
    if (count != 3) {
        fprintf(stderr, "limit PORT FRAGMENT_FILE\n");
        return 2;
    }
    allow_files();
    read_fragment(words[2]);
    listen_at(atoi(words[1]));
    puts("ready");
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR)
            stop("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!client) {
                admit();
                continue;
            }
            if (events[i].events & EPOLLOUT && client->unsent.length)
                give_rest(client);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                read_some(client);
        }
    }
}
