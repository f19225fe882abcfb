/* What a crowd does, and what is reported of it. Each makes its crowd, runs, checks, and reports. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "options.h"

/* One message after the other to everybody: the next is sent when all have the one before. */
void broadcast(const struct options *options);

/* All are there, and nobody says anything, until stdin is closed. */
void idle(const struct options *options);
/* The senders of all rooms in turn, at a fixed rate, whatever comes back: a message's clock starts when it is due. */
void sustained(const struct options *options);
/* Each sender says the next when it has its receipt. */
void stored(const struct options *options);
/* Like `stored`, in turns: in rooms with readers, and in rooms with none. */
void turns(const struct options *options);
/* Some readers stop reading, and a sender goes on. */
void slow(const struct options *options);

#endif
