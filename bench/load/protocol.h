/* What texts mean to the servers that are measured: when a socket is up, how one says something, what a receipt is. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include "crowd.h"

/* The handshake is done. */
void protocol_opened(struct crowd *crowd, struct connection *connection);
/* A text came, in `wire` bytes of frames, at the time `at`. */
void protocol_text(struct crowd *crowd, struct connection *connection, const char *text, size_t length, size_t wire,
                   uint64_t at);

#endif
