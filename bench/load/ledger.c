/* Whether everybody got every message once, in one order. */
#include "ledger.h"

#include "report.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEEN = 1, RECEIPT = 2 };

void ledger_open(struct ledger *ledger, uint32_t first, uint32_t capacity, bool ascending)
{
    *ledger = (struct ledger){.first = first, .capacity = capacity, .ascending = ascending};
    ledger->order = calloc(capacity, sizeof *ledger->order);
    ledger->sent_at = calloc(capacity, sizeof *ledger->sent_at);
    ledger->sender = calloc(capacity, sizeof *ledger->sender);
    ledger->marks = calloc(capacity, sizeof *ledger->marks);
    if (!ledger->order || !ledger->sent_at || !ledger->sender || !ledger->marks)
        fail("no memory for %u messages", capacity);
}

void ledger_close(struct ledger *ledger)
{
    free(ledger->order);
    free(ledger->sent_at);
    free(ledger->sender);
    free(ledger->marks);
}

void ledger_send(struct ledger *ledger, uint32_t sender, uint64_t at)
{
    if (ledger->sent == ledger->capacity)
        fail("more than %u messages", ledger->capacity);
    ledger->sent_at[ledger->sent] = at;
    ledger->sender[ledger->sent++] = sender;
}

static bool is_next(const struct ledger *ledger, uint32_t message)
{
    return message < ledger->sent && !(ledger->marks[message] & SEEN) &&
           (!ledger->ascending || message == ledger->ordered);
}

bool ledger_deliver(struct ledger *ledger, uint32_t place, uint32_t message)
{
    if (place < ledger->ordered)
        return ledger->order[place] == message;
    if (!is_next(ledger, message))
        return false;
    ledger->marks[message] |= SEEN;
    ledger->order[ledger->ordered++] = message;
    return true;
}

void ledger_explain(const struct ledger *ledger, uint32_t place, uint32_t message, char *text, int size)
{
    uint32_t before = 0;
    while (before < place && ledger->order[before] != message)
        before++;
    if (message >= ledger->sent)
        snprintf(text, (size_t)size, "got message %u, which was not sent", ledger->first + message);
    else if (before < place)
        snprintf(text, (size_t)size, "got message %u twice", ledger->first + message);
    else
        snprintf(text, (size_t)size, "got message %u as the %uth: another one was lost, or they are out of order",
                 ledger->first + message, place + 1);
}

bool ledger_receipt(struct ledger *ledger, uint32_t sender, uint32_t message)
{
    if (message >= ledger->sent || ledger->sender[message] != sender || ledger->marks[message] & RECEIPT)
        return false;
    ledger->marks[message] |= RECEIPT;
    ledger->receipts++;
    return true;
}
