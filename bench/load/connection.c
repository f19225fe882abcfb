/* One socket: connect, shake hands, write, understand. */
#include "connection.h"

#include "accept.h"
#include "protocol.h"
#include "report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of one that does not read: what its system takes all the same. */
static const int STALLED_BUFFER = 4096;
/* On the loopback, segments are 64 kB long, and a sender's system keeps 4 MB of them for somebody who does not read. */
static const int STALLED_SEGMENT = 1400;

/* Connecting */

static void set_option(int socket, int level, int name, int value)
{
    if (setsockopt(socket, level, name, &value, sizeof value))
        fail("setsockopt: %s", strerror(errno));
}

static struct sockaddr_in address(const char *host, unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        fail("%s is no address", host);
    return address;
}

/* The sockets come from several addresses in turn: one of them has no more than 28,000 ports. */
static void bind_one(const struct options *options, const struct connection *connection)
{
    struct sockaddr_in from = address(options->from, 0);
    from.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + connection->index % options->addresses);
    set_option(connection->socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (bind(connection->socket, (struct sockaddr *)&from, sizeof from))
        fail("bind: %s", strerror(errno));
}

/* Told once of what is new (EPOLLET): to be asked again whether there is more costs as much as reading does. */
static void watch(const struct crowd *crowd, struct connection *connection, int how, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    if (epoll_ctl(crowd->epoll, how, connection->socket, &event))
        fail("epoll_ctl: %s", strerror(errno));
}

void connection_start(struct crowd *crowd, struct connection *connection)
{
    const struct options *options = crowd->options;
    struct sockaddr_in to = address(options->host, options->port + connection->index % options->ports);
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->socket < 0)
        fail("socket: %s", strerror(errno));
    set_option(connection->socket, IPPROTO_TCP, TCP_NODELAY, 1);
    if (connection->stalled) {
        set_option(connection->socket, SOL_SOCKET, SO_RCVBUF, STALLED_BUFFER);
        set_option(connection->socket, IPPROTO_TCP, TCP_MAXSEG, STALLED_SEGMENT);
    }
    bind_one(options, connection);
    if (connect(connection->socket, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    connection->state = CONNECTING;
    watch(crowd, connection, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

/* Writing */

static void flush(struct crowd *crowd, struct connection *connection)
{
    struct bytes *unsent = &connection->unsent;
    ssize_t sent = send(connection->socket, unsent->at, unsent->length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        connection_closed(crowd, connection, strerror(errno));
        return;
    }
    bytes_drop(unsent, sent < 0 ? 0 : (size_t)sent);
    watch(crowd, connection, EPOLL_CTL_MOD, EPOLLIN | (unsent->length ? EPOLLOUT : 0));
}

static void send_bytes(struct crowd *crowd, struct connection *connection, const char *bytes, size_t length)
{
    ssize_t sent = connection->unsent.length ? 0 : send(connection->socket, bytes, length, MSG_NOSIGNAL);
    if (sent == (ssize_t)length)
        return;
    if (sent < 0 && errno != EAGAIN) {
        connection_closed(crowd, connection, strerror(errno));
        return;
    }
    sent = sent < 0 ? 0 : sent;
    bytes_append(&connection->unsent, bytes + sent, length - (size_t)sent);
    watch(crowd, connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

void connection_send(struct crowd *crowd, struct connection *connection, enum opcode opcode, const char *text,
                     size_t length)
{
    static struct bytes frame; /* used again for each, so that saying something allocates nothing */
    static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};
    frame.length = 0;
    bytes_reserve(&frame, LONGEST_HEAD + length);
    size_t head = frame_head(frame.at, opcode, length, MASK);
    frame_mask(frame.at + head, text, length, MASK);
    send_bytes(crowd, connection, frame.at, head + length);
}

/* Shaking hands */

static void ask(struct crowd *crowd, struct connection *connection)
{
    const struct options *options = crowd->options;
    unsigned char random[16];
    char request[8192];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        fail("getrandom: %s", strerror(errno));
    handshake_key(random, connection->key);
    int length = snprintf(
        request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: %s:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s%s%s%s%s%s%s\r\n",
        connection->room->path, options->host, options->port, connection->key,
        options->deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "",
        options->origin ? "Origin: " : "", options->origin ? options->origin : "", options->origin ? "\r\n" : "",
        connection->cookie ? "Cookie: " : "", connection->cookie ? connection->cookie : "",
        connection->cookie ? "\r\n" : "");
    if (length >= (int)sizeof request)
        fail("the cookie or the path is too long");
    connection->state = SHAKING;
    send_bytes(crowd, connection, request, (size_t)length);
}

void connection_writable(struct crowd *crowd, struct connection *connection)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (connection->state != CONNECTING) {
        flush(crowd, connection);
        return;
    }
    if (getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &error, &size) || error)
        fail("connect: %s", strerror(error));
    watch(crowd, connection, EPOLL_CTL_MOD, EPOLLIN);
    ask(crowd, connection);
}

/* The value of a header of an answer, up to the end of its line; NULL where it is not there. */
static const char *header(const char *answer, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = strstr(answer, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, name, length) && line[2 + length] == ':')
            return line + 3 + length + strspn(line + 3 + length, " \t");
    return NULL;
}

static void agree_to_deflate(struct crowd *crowd, struct connection *connection, const char *answer)
{
    static const char BITS[] = "server_max_window_bits=";
    char extensions[256];
    const char *value = header(answer, "Sec-WebSocket-Extensions");
    if (!value)
        return;
    snprintf(extensions, sizeof extensions, "%.*s", (int)strcspn(value, "\r"), value);
    if (!crowd->options->deflate || strncmp(extensions, "permessage-deflate", 18) || strchr(extensions, ','))
        fail("the server answered with extensions that nobody offered: %s", extensions);
    const char *bits = strstr(extensions, BITS);
    int window = bits ? atoi(bits + strlen(BITS) + (bits[strlen(BITS)] == '"')) : 15;
    if (window < 8 || window > 15)
        fail("a window that cannot be: %s", extensions);
    connection->inflater = inflater_new(window, strstr(extensions, "server_no_context_takeover"));
    crowd->deflated++;
}

/* Read the answer to the handshake, where it is there as a whole. Returns its length, or 0. */
static size_t shake(struct crowd *crowd, struct connection *connection, const char *bytes, size_t length)
{
    char answer[8192], wanted[ACCEPT_LENGTH + 1];
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);
    size_t size = end ? (size_t)(end - bytes) : length;
    if (size >= sizeof answer)
        fail("the answer to the handshake is too long");
    if (!end)
        return 0;
    memcpy(answer, bytes, size);
    answer[size] = 0;
    if (strncmp(answer, "HTTP/1.1 101", 12))
        fail("the server refused the handshake: %.*s", (int)strcspn(answer, "\r"), answer);
    handshake_accept(connection->key, wanted);
    const char *accept = header(answer, "Sec-WebSocket-Accept");
    if (!accept || strncmp(accept, wanted, ACCEPT_LENGTH))
        fail("the server answered with a wrong Sec-WebSocket-Accept");
    agree_to_deflate(crowd, connection, answer);
    connection->state = OPEN;
    protocol_opened(crowd, connection);
    return size + 4;
}

/* Understanding */

static void take_message(struct crowd *crowd, struct connection *connection, bool compressed, const char *message,
                         size_t length, size_t wire, uint64_t at)
{
    if (compressed)
        message = inflater_read(connection->inflater, message, length, &length);
    if (!message)
        fail("socket %u got a compressed message that is broken", connection->index);
    protocol_text(crowd, connection, message, length, wire, at);
}

/* A message may come in several frames. */
static void take_data(struct crowd *crowd, struct connection *connection, const struct frame *frame, size_t wire,
                      uint64_t at)
{
    struct bytes *parts = &connection->parts;
    bool begins = frame->opcode != CONTINUATION;
    if (frame->opcode == BINARY || begins == connection->parted || (frame->compressed && !connection->inflater))
        fail("socket %u got a frame that cannot be here", connection->index);
    connection->parted = !frame->final;
    if (begins && frame->final) {
        take_message(crowd, connection, frame->compressed, frame->payload, frame->length, wire, at);
        return;
    }
    if (begins) {
        connection->compressed = frame->compressed;
        connection->parts_wire = parts->length = 0;
    }
    connection->parts_wire += wire;
    bytes_append(parts, frame->payload, frame->length);
    if (frame->final)
        take_message(crowd, connection, connection->compressed, parts->at, parts->length, connection->parts_wire, at);
}

static void take_close(struct crowd *crowd, struct connection *connection, const struct frame *frame)
{
    char how[32];
    const unsigned char *code = (const unsigned char *)frame->payload;
    snprintf(how, sizeof how, "with code %d", frame->length < 2 ? 1005 : code[0] << 8 | code[1]);
    connection_closed(crowd, connection, how);
}

static void take_frame(struct crowd *crowd, struct connection *connection, const struct frame *frame, size_t wire,
                       uint64_t at)
{
    if (frame->mask)
        fail("socket %u got a frame with a mask", connection->index);
    if (frame->opcode == PING)
        connection_send(crowd, connection, PONG, frame->payload, frame->length);
    else if (frame->opcode == CLOSE)
        take_close(crowd, connection, frame);
    else if (frame->opcode != PONG)
        take_data(crowd, connection, frame, wire, at);
}

/* Take all frames that are there as a whole. Returns their length. */
static size_t take_frames(struct crowd *crowd, struct connection *connection, const char *bytes, size_t length,
                          uint64_t at)
{
    struct frame frame;
    size_t taken = 0;
    while (connection->state != CLOSED) {
        ssize_t size = frame_read(bytes + taken, length - taken, &frame);
        if (size < 0)
            fail("socket %u got what is no frame", connection->index);
        if (!size)
            break;
        take_frame(crowd, connection, &frame, (size_t)size, at);
        taken += (size_t)size;
    }
    return taken;
}

void connection_take(struct crowd *crowd, struct connection *connection, const char *bytes, size_t length, uint64_t at)
{
    struct bytes *rest = &connection->rest;
    bool joined = rest->length > 0;
    size_t taken = 0;
    if (connection->deaf)
        return;
    if (joined) {
        bytes_append(rest, bytes, length);
        bytes = rest->at;
        length = rest->length;
    }
    if (connection->state == SHAKING)
        taken = shake(crowd, connection, bytes, length);
    if (connection->state >= OPEN)
        taken += take_frames(crowd, connection, bytes + taken, length - taken, at);
    if (joined)
        bytes_drop(rest, taken);
    else
        bytes_append(rest, bytes + taken, length - taken);
}

/* The end */

void connection_deafen(struct crowd *crowd, struct connection *connection)
{
    connection->deaf = true;
    /* Its place in the histories would keep all that the others get from now on. */
    inflater_free(connection->inflater);
    connection->inflater = NULL;
    watch(crowd, connection, EPOLL_CTL_MOD, 0);
}

void connection_closed(struct crowd *crowd, struct connection *connection, const char *how)
{
    if (connection->state == CLOSED)
        return;
    if (!connection->deaf)
        fail("the server closed socket %u %s", connection->index, how);
    connection->state = CLOSED;
    crowd->closed++;
    close(connection->socket);
}

void connection_free(struct connection *connection)
{
    if (connection->state != UNCONNECTED && connection->state != CLOSED)
        close(connection->socket);
    inflater_free(connection->inflater);
    bytes_free(&connection->rest);
    bytes_free(&connection->parts);
    bytes_free(&connection->unsent);
}
