/* The frames of RFC 6455, section 5. */
#include "frames.h"

#include <stdint.h>
#include <string.h>

static const uint64_t LONGEST = 64 << 20;

static bool is_known(enum opcode opcode)
{
    return opcode <= BINARY || (opcode >= CLOSE && opcode <= PONG);
}

/* A control frame is short and whole; only the first frame of a message says that it is compressed. */
static bool is_sound(const struct frame *frame, int reserved)
{
    bool control = frame->opcode >= CLOSE;
    return is_known(frame->opcode) && !reserved && frame->length <= LONGEST &&
           !(frame->compressed && (control || frame->opcode == CONTINUATION)) &&
           !(control && (!frame->final || frame->length > 125));
}

static uint64_t big_endian(const unsigned char *bytes, int count)
{
    uint64_t number = 0;
    for (int i = 0; i < count; i++)
        number = number << 8 | bytes[i];
    return number;
}

ssize_t frame_read(const char *bytes, size_t length, struct frame *frame)
{
    const unsigned char *b = (const unsigned char *)bytes;
    if (length < 2)
        return 0;
    int extended = (b[1] & 127) == 126 ? 2 : (b[1] & 127) == 127 ? 8 : 0;
    size_t head = 2 + (size_t)extended + (b[1] & 128 ? 4 : 0);
    if (length < head)
        return 0;
    frame->final = b[0] & 128;
    frame->compressed = b[0] & 64;
    frame->opcode = b[0] & 15;
    frame->length = extended ? big_endian(b + 2, extended) : b[1] & 127;
    frame->mask = b[1] & 128 ? b + head - 4 : NULL;
    frame->payload = bytes + head;
    if (!is_sound(frame, b[0] & 48))
        return -1;
    return length - head < frame->length ? 0 : (ssize_t)(head + frame->length);
}

size_t frame_head(char head[LONGEST_HEAD], enum opcode opcode, size_t length, const unsigned char *mask)
{
    int extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
    size_t size = 2 + (size_t)extended;
    head[0] = (char)(128 | opcode);
    head[1] = (char)((mask ? 128 : 0) | (extended == 8 ? 127 : extended ? 126 : (int)length));
    for (int i = 0; i < extended; i++)
        head[2 + i] = (char)(length >> 8 * (extended - 1 - i));
    if (!mask)
        return size;
    memcpy(head + size, mask, 4);
    return size + 4;
}

void frame_mask(char *to, const char *from, size_t length, const unsigned char mask[4])
{
    for (size_t i = 0; i < length; i++)
        to[i] = (char)(from[i] ^ mask[i & 3]);
}
