/* A fixed rate, whatever comes back. A message that could not be sent in time is late from when it was due. */
#ifndef PACE_H
#define PACE_H

#include "crowd.h"

/* How many messages that are, in all rooms; without any, the program ends. */
uint32_t pace_total(const struct options *options);
/* From now on, have the senders say something in turn: first those at the first places, in room after room. */
void pace_start(struct crowd *crowd);
/* When the last message is due and one more could be: nanoseconds. */
uint64_t pace_end(void);
/* When it began: nanoseconds. */
uint64_t pace_began(void);
/* Nanoseconds between two messages. */
double pace_interval(void);

#endif
