/*
 * What was said in a room, and whether everybody got it: every message once, all in one order. Knows no socket.
 *
 * Whoever gets a message first lays down its place in the order; everybody else must get the same one at that place. So
 * a reader whose count is that of the ledger has missed nothing, and no reader needs a list of its own.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct ledger {
    uint32_t first; /* number of the first message; what is lower belongs to another run */
    bool ascending; /* there is one sender: the order is known beforehand */
    uint32_t sent, receipts, ordered, capacity;
    uint32_t *order;   /* messages, as they came */
    uint64_t *sent_at; /* nanoseconds, of each message */
    uint32_t *sender;
    uint8_t *marks;
};

void ledger_open(struct ledger *ledger, uint32_t first, uint32_t capacity, bool ascending);
void ledger_close(struct ledger *ledger);
/* Note that the next message was sent. Ends the program where more are sent than `capacity`. */
void ledger_send(struct ledger *ledger, uint32_t sender, uint64_t at);
/* A reader who has `place` messages got `message` (0 is the first of this run): true where that is right. */
bool ledger_deliver(struct ledger *ledger, uint32_t place, uint32_t message);
/* Say what is wrong with what `ledger_deliver` refused. */
void ledger_explain(const struct ledger *ledger, uint32_t place, uint32_t message, char *text, int size);
/* `sender` got the receipt of `message`: true where that is its own, and the first. */
bool ledger_receipt(struct ledger *ledger, uint32_t sender, uint32_t message);

#endif
