/* One socket: how it connects, shakes hands, is written to, and what its bytes are. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "crowd.h"
#include "frames.h"

/* Begin to connect, and have epoll tell how it goes on. */
void connection_start(struct crowd *crowd, struct connection *connection);
/* The socket can be written to: it is connected, or takes more. */
void connection_writable(struct crowd *crowd, struct connection *connection);
/* Send a whole message, masked, as far as the socket takes it; the rest follows when it takes more. */
void connection_send(struct crowd *crowd, struct connection *connection, enum opcode opcode, const char *text,
                     size_t length);
/* Understand `length` bytes that were read at the time `at`. */
void connection_take(struct crowd *crowd, struct connection *connection, const char *bytes, size_t length,
                     uint64_t at);
/* Never read from it again; only its end is noticed. */
void connection_deafen(struct crowd *crowd, struct connection *connection);
/* It is at its end. An error for the run, unless it is one that does not read. */
void connection_closed(struct crowd *crowd, struct connection *connection, const char *how);
void connection_free(struct connection *connection);

#endif
