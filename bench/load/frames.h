/* The frames of RFC 6455, section 5: read from bytes, and their heads written. Knows no socket. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

enum { LONGEST_HEAD = 14 };

struct frame {
    enum opcode opcode;
    bool final, compressed;
    const unsigned char *mask; /* four bytes, or NULL */
    const char *payload;
    size_t length;
};

/* Read the frame that `bytes` begin with. Returns how many bytes it takes, 0 if they are not all there, -1 if they are
   no frame. */
ssize_t frame_read(const char *bytes, size_t length, struct frame *frame);
/* Write the head of a final frame of `length` bytes, and its mask if there is one. Returns its size. */
size_t frame_head(char head[LONGEST_HEAD], enum opcode opcode, size_t length, const unsigned char *mask);
/* Put the mask on `length` bytes, or take it off. */
void frame_mask(char *to, const char *from, size_t length, const unsigned char mask[4]);

#endif
