/* The languages of the servers: Parlor's frames, bare texts, and Socket.IO's packets. */
#include "protocol.h"

#include "connection.h"
#include "report.h"
#include "texts.h"

#include <stdio.h>
#include <string.h>

static const char CONNECTED[] = "data-state=\"connected\"";
static const char RECEIPT[] = "delete target:'#keys > [value=&quot;";
static const char NOTICE[] = "hx-swap-oob=\"innerHTML:#notice\">";
static const char PASSING[] = "<span class=\"notice__passing\">";

/* Where `text` begins in what is from `from` on: behind it, or NULL. */
static const char *after(const char *from, const char *end, const char *text)
{
    size_t length = strlen(text);
    const char *found = from < end ? memmem(from, (size_t)(end - from), text, length) : NULL;
    return found ? found + length : NULL;
}

static bool begins(const char *text, size_t length, const char *with)
{
    return length >= strlen(with) && !memcmp(text, with, strlen(with));
}

/* Being up */

static void up(struct crowd *crowd, struct connection *connection)
{
    if (connection->state != OPEN)
        return;
    connection->state = UP;
    crowd->up++;
}

void protocol_opened(struct crowd *crowd, struct connection *connection)
{
    static const char RESUME[] = "{\"cursor\": \"\"}";
    if (crowd->options->protocol == PARLOR)
        connection_send(crowd, connection, TEXT, RESUME, strlen(RESUME));
    else if (crowd->options->protocol == PLAIN)
        up(crowd, connection);
}

/* Saying something */

void say(struct crowd *crowd, struct connection *sender, uint64_t due)
{
    static const char *const FRAMES[] = {
        [PARLOR] = "{\"message\": \"%.*s\", \"key\": \"%s%u\"}",
        [PLAIN] = "%.*s",
        [SOCKETIO] = "42[\"message\",\"%.*s\"]",
    };
    static char text[LONGEST_TEXT + 64], frame[LONGEST_TEXT + 128];
    struct ledger *ledger = &sender->room->ledger;
    int size = (int)crowd->options->size;
    text_write(text, (size_t)size, ledger->first + ledger->sent, sender->index);
    int length = snprintf(frame, sizeof frame, FRAMES[crowd->options->protocol], size, text, crowd->run, ledger->sent);
    ledger_send(ledger, sender->index, due ? due : now());
    connection_send(crowd, sender, TEXT, frame, (size_t)length);
}

/* Hearing it */

static void receipt(struct crowd *crowd, struct connection *connection, uint32_t message, uint64_t at)
{
    if (!ledger_receipt(&connection->room->ledger, connection->index, message))
        fail("socket %u got a second receipt, or one of a message that it did not send", connection->index);
    crowd->receipted_at = at;
    histogram_add(&crowd->answers, at - connection->room->ledger.sent_at[message]);
    if (crowd->receipted)
        crowd->receipted(crowd, connection, message, at);
}

static void deliver(struct crowd *crowd, struct connection *connection, uint32_t message, uint64_t at)
{
    struct ledger *ledger = &connection->room->ledger;
    if (!ledger_deliver(ledger, connection->place, message)) {
        char why[128];
        ledger_explain(ledger, connection->place, message, why, sizeof why);
        fail("socket %u %s", connection->index, why);
    }
    connection->place++;
    connection->room->deliveries++;
    crowd->deliveries++;
    crowd->delivered_at = at > crowd->delivered_at ? at : crowd->delivered_at;
    histogram_add(&crowd->latencies, at - ledger->sent_at[message]);
    if (crowd->delivered)
        crowd->delivered(crowd, connection, message, at);
    connection->delivered_at = at;
    if (crowd->options->protocol != PARLOR && ledger->sender[message] == connection->index)
        receipt(crowd, connection, message, at);
}

/* One frame may bring many messages, and those of runs before this one. */
static void deliver_all(struct crowd *crowd, struct connection *connection, const char *text, size_t length,
                        size_t wire, uint64_t at)
{
    const char *place = text, *end = text + length;
    uint64_t before = crowd->deliveries;
    uint32_t number, first = connection->room->ledger.first;
    while (text_next(&place, end, &number))
        if (number >= first)
            deliver(crowd, connection, number - first, at);
    if (crowd->deliveries == before)
        return;
    crowd->frames++;
    crowd->wire_bytes += wire;
    crowd->payload_bytes += length;
}

static void take_receipts(struct crowd *crowd, struct connection *connection, const char *text, const char *end,
                          uint64_t at)
{
    while ((text = after(text, end, RECEIPT))) {
        if (!begins(text, (size_t)(end - text), crowd->run))
            continue;
        uint32_t message = 0;
        for (const char *digit = text + strlen(crowd->run); digit < end && *digit >= '0' && *digit <= '9'; digit++)
            message = message * 10 + (uint32_t)(*digit - '0');
        receipt(crowd, connection, message, at);
    }
}

/* A notice with something in it says why a message was refused. */
static void take_notices(struct connection *connection, const char *text, const char *end)
{
    const char *notice = after(text, end, NOTICE);
    if (!notice)
        return;
    if (begins(notice, (size_t)(end - notice), PASSING))
        notice += strlen(PASSING);
    const char *over = memchr(notice, '<', (size_t)(end - notice));
    if (over != notice)
        fail("socket %u was told: %.*s", connection->index, (int)((over ? over : end) - notice), notice);
}

static void take_parlor(struct crowd *crowd, struct connection *connection, const char *text, size_t length,
                        uint64_t at)
{
    if (connection->state == OPEN && memmem(text, length, CONNECTED, strlen(CONNECTED)))
        up(crowd, connection);
    if (!connection->sender)
        return;
    take_receipts(crowd, connection, text, text + length, at);
    take_notices(connection, text, text + length);
}

/* Engine.IO's packets: 0 opens, 2 is a ping, 4 a message; Socket.IO's, in it: 0 connects, 2 is an event. */
static void take_socketio(struct crowd *crowd, struct connection *connection, const char *text, size_t length)
{
    if (begins(text, length, "0"))
        connection_send(crowd, connection, TEXT, "40", 2);
    else if (begins(text, length, "40"))
        up(crowd, connection);
    else if (begins(text, length, "2"))
        connection_send(crowd, connection, TEXT, "3", 1);
    else if (!begins(text, length, "42") && !begins(text, length, "6"))
        fail("socket %u got a packet that cannot be here: %.*s", connection->index, (int)(length < 80 ? length : 80),
             text);
}

void protocol_text(struct crowd *crowd, struct connection *connection, const char *text, size_t length, size_t wire,
                   uint64_t at)
{
    if (crowd->options->protocol == SOCKETIO)
        take_socketio(crowd, connection, text, length);
    else if (crowd->options->protocol == PARLOR)
        take_parlor(crowd, connection, text, length, at);
    deliver_all(crowd, connection, text, length, wire, at);
}
