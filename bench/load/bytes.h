/* A piece of memory that grows: what waits to be sent, or for the rest of a frame. */
#ifndef BYTES_H
#define BYTES_H

#include <stddef.h>

struct bytes {
    char *at;
    size_t length, capacity;
};

/* Make room for `more` bytes behind what there is; out of memory ends the program. */
void bytes_reserve(struct bytes *bytes, size_t more);
void bytes_append(struct bytes *bytes, const void *from, size_t length);
/* Forget the first `length` bytes; the memory stays for the next ones. */
void bytes_drop(struct bytes *bytes, size_t length);
void bytes_free(struct bytes *bytes);

#endif
