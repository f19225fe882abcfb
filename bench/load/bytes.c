/* A piece of memory that grows. It never shrinks, so that what comes again and again allocates nothing. */
#include "bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t SMALLEST = 256;

void bytes_reserve(struct bytes *bytes, size_t more)
{
    if (bytes->capacity - bytes->length >= more)
        return;
    size_t capacity = bytes->capacity ? bytes->capacity : SMALLEST;
    while (capacity - bytes->length < more)
        capacity *= 2;
    char *at = realloc(bytes->at, capacity);
    if (!at) {
        perror("realloc");
        exit(EXIT_FAILURE);
    }
    bytes->at = at;
    bytes->capacity = capacity;
}

void bytes_append(struct bytes *bytes, const void *from, size_t length)
{
    if (!length)
        return;
    bytes_reserve(bytes, length);
    memcpy(bytes->at + bytes->length, from, length);
    bytes->length += length;
}

void bytes_drop(struct bytes *bytes, size_t length)
{
    if (!length)
        return;
    bytes->length -= length;
    memmove(bytes->at, bytes->at + length, bytes->length);
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct bytes){0};
}
