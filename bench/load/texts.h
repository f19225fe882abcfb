/* What is said: a number that stands in it once, and words that compress as a chat does. */
#ifndef TEXTS_H
#define TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHORTEST_TEXT = 32, LONGEST_TEXT = 20000 };

/* Write a text of `size` characters: letters, digits, blanks and one `#`. Always the same for the same number. */
void text_write(char *text, size_t size, uint32_t number, uint32_t sender);
/* Find the next number from `*at` on, and move `*at` behind it. False where there is none. */
bool text_next(const char **at, const char *end, uint32_t *number);

#endif
