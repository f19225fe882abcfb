/*
 * What undoes permessage-deflate, with zlib. What an inflater knows depends on nothing but the messages that it has
 * had; so it is a place in a tree of histories, each of which goes on with one message or another.
 */
#include "inflater.h"

#include "bytes.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const size_t LONGEST = 64 << 20;
enum { ROOM = 4096 }; /* bytes to inflate into, at least */

struct history {
    z_stream stream;
    struct bytes message, text; /* the last message, and what it came to */
    unsigned readers;           /* inflaters that are here */
    struct history *before;     /* without the last message; NULL where nobody is left there, or further back */
    struct history *then;       /* with one message more: the first one of these, */
    struct history *beside;     /* and the next one */
};

struct inflater {
    struct history *history, **beginning;
    bool forgets;
};

/* Those who have had nothing yet, by bits and by whether the server forgets. */
static struct history *beginnings[16][2];

static void *some(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        fail("no memory to inflate");
    return memory;
}

/* Histories */

static struct history *begin(int bits)
{
    struct history *history = some(sizeof *history);
    /* A negative number of bits: deflate without a head. */
    if (inflateInit2(&history->stream, -bits) != Z_OK)
        fail("no memory to inflate");
    return history;
}

/* Nobody can come here any more: free it, and those behind it of which that is true, too. */
static void forget(struct history *history)
{
    if (history->readers || history->before)
        return;
    for (struct history *then = history->then, *beside; then; then = beside) {
        beside = then->beside;
        then->before = then->beside = NULL;
        forget(then);
    }
    inflateEnd(&history->stream);
    bytes_free(&history->message);
    bytes_free(&history->text);
    free(history);
}

static bool inflate_part(z_stream *stream, const void *part, size_t length, struct bytes *text)
{
    stream->next_in = (Bytef *)part;
    stream->avail_in = (uInt)length;
    do {
        bytes_reserve(text, ROOM);
        size_t room = text->capacity - text->length;
        stream->next_out = (Bytef *)text->at + text->length;
        stream->avail_out = (uInt)room;
        int result = inflate(stream, Z_SYNC_FLUSH);
        text->length += room - stream->avail_out;
        if ((result != Z_OK && result != Z_BUF_ERROR) || text->length > LONGEST)
            return false;
    } while (!stream->avail_out);
    return !stream->avail_in;
}

/* Inflate the last message of a history whose stream stands before it. */
static bool inflate_last(struct history *history, bool forgets)
{
    if (forgets && inflateReset(&history->stream) != Z_OK)
        return false;
    /* What the sender left away: the end of every flush. */
    return inflate_part(&history->stream, history->message.at, history->message.length, &history->text) &&
           inflate_part(&history->stream, "\0\0\xff\xff", 4, &history->text);
}

static struct history *find(const struct history *history, const char *message, size_t length)
{
    struct history *then = history->then;
    while (then && (then->message.length != length || memcmp(then->message.at, message, length)))
        then = then->beside;
    return then;
}

/* The history goes on in a new way. Returns NULL where the message is broken. */
static struct history *go_on(struct history *history, const char *message, size_t length, bool forgets)
{
    struct history *then = some(sizeof *then);
    if (inflateCopy(&then->stream, &history->stream) != Z_OK)
        fail("no memory to inflate");
    bytes_append(&then->message, message, length);
    then->before = history;
    then->beside = history->then;
    history->then = then;
    return inflate_last(then, forgets) ? then : NULL;
}

/* A reader who is alone takes the history along. Returns false where the message is broken. */
static bool take_along(struct history *history, const char *message, size_t length, bool forgets)
{
    history->message.length = history->text.length = 0;
    bytes_append(&history->message, message, length);
    return inflate_last(history, forgets);
}

/* Inflaters */

struct inflater *inflater_new(int bits, bool forgets)
{
    struct inflater *inflater = some(sizeof *inflater);
    inflater->beginning = &beginnings[bits][forgets];
    if (!*inflater->beginning)
        *inflater->beginning = begin(bits);
    inflater->history = *inflater->beginning;
    inflater->history->readers++;
    inflater->forgets = forgets;
    return inflater;
}

static void leave(struct inflater *inflater)
{
    struct history *history = inflater->history;
    history->readers--;
    if (!history->readers && history == *inflater->beginning)
        *inflater->beginning = NULL;
    forget(history);
}

void inflater_free(struct inflater *inflater)
{
    if (inflater)
        leave(inflater);
    free(inflater);
}

static bool is_alone(const struct inflater *inflater)
{
    const struct history *history = inflater->history;
    return history->readers == 1 && !history->before && !history->then && history != *inflater->beginning;
}

static struct history *advance(struct inflater *inflater, const char *message, size_t length)
{
    struct history *history = inflater->history;
    if (is_alone(inflater))
        return take_along(history, message, length, inflater->forgets) ? history : NULL;
    struct history *then = find(history, message, length);
    if (!then)
        then = go_on(history, message, length, inflater->forgets);
    if (!then)
        return NULL;
    then->readers++;
    leave(inflater);
    return inflater->history = then;
}

const char *inflater_read(struct inflater *inflater, const char *message, size_t length, size_t *text_length)
{
    struct history *history = advance(inflater, message, length);
    if (!history)
        return NULL;
    *text_length = history->text.length;
    return history->text.at;
}
