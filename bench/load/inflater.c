/* What undoes permessage-deflate, with zlib: one stream for each connection, as each browser has one. */
#include "inflater.h"

#include "report.h"

#include <stdlib.h>
#include <zlib.h>

static const size_t LONGEST = 64 << 20;
enum { ROOM = 4096 }; /* bytes to inflate into, at least */

struct inflater {
    z_stream stream;
    bool forgets;
};

struct inflater *inflater_new(int bits, bool forgets)
{
    struct inflater *inflater = calloc(1, sizeof *inflater);
    /* A negative number of bits: deflate without a head. */
    if (!inflater || inflateInit2(&inflater->stream, -bits) != Z_OK)
        fail("no memory to inflate");
    inflater->forgets = forgets;
    return inflater;
}

void inflater_free(struct inflater *inflater)
{
    if (inflater)
        inflateEnd(&inflater->stream);
    free(inflater);
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

bool inflater_read(struct inflater *inflater, const char *message, size_t length, struct bytes *text)
{
    if (inflater->forgets && inflateReset(&inflater->stream) != Z_OK)
        return false;
    text->length = 0;
    /* What the sender left away: the end of every flush. */
    return inflate_part(&inflater->stream, message, length, text) &&
           inflate_part(&inflater->stream, "\0\0\xff\xff", 4, text);
}
