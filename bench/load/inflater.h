/* What undoes permessage-deflate (RFC 7692) for one connection. */
#ifndef INFLATER_H
#define INFLATER_H

#include "bytes.h"

#include <stdbool.h>

struct inflater;

/* `bits` is the server's window (8 to 15); `forgets` says that it starts each message anew. */
struct inflater *inflater_new(int bits, bool forgets);
void inflater_free(struct inflater *inflater);
/* Put the text of a compressed message in place of what `text` holds. Returns false where it is broken. */
bool inflater_read(struct inflater *inflater, const char *message, size_t length, struct bytes *text);

#endif
