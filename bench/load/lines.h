/* The lines of a file. */
#ifndef LINES_H
#define LINES_H

#include "bytes.h"

#include <stdint.h>

struct lines {
    struct bytes text;
    uint32_t count;
};

/* Read the file at `path`; where that is NULL, there are no lines. */
struct lines lines_read(const char *path);
void lines_free(struct lines *lines);
/* The line behind `line`; the first where that is NULL. There must be one. */
const char *lines_next(const struct lines *lines, const char *line);

#endif
