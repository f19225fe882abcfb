/* What a crowd does, and what is reported of it. Each makes its crowd, runs, checks, and reports. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "options.h"

/* One message after the other to everybody: the next is sent when all have the one before. */
void broadcast(const struct options *options);

#endif
