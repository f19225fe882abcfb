/*
 * What undoes permessage-deflate (RFC 7692).
 *
 * A server's frames are the same for a thousand readers, and so are their bytes where it has compressed them once, or
 * alike. A reader who has had byte for byte what another one had is shown what that one was shown: it need not be
 * inflated again, or this would take longer than all that is measured.
 */
#ifndef INFLATER_H
#define INFLATER_H

#include <stdbool.h>
#include <stddef.h>

struct inflater;

/* For one connection. `bits` is the server's window (8 to 15); `forgets` says that it starts each message anew. */
struct inflater *inflater_new(int bits, bool forgets);
void inflater_free(struct inflater *inflater);
/* Read the next compressed message. Its text stays until the next one is read, by any inflater; NULL: it is broken. */
const char *inflater_read(struct inflater *inflater, const char *message, size_t length, size_t *text_length);

#endif
