/* What was asked for on the command line, and what it is without asking. */
#include "options.h"

#include "texts.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned UNSET = ~0u;
static const unsigned OWN_PORTS = 20000; /* that one address may take: Linux has 28,000 */

static const char USAGE[] =
    "load SCENARIO --port N [options]\n"
    "\n"
    "  Opens sockets to a chat server, says something, and checks that everybody got all of it once, in one order.\n"
    "  Prints one JSON object; its exit status is 0, or 1 with an \"error\" in the object. Durations in it are in\n"
    "  microseconds, unless they are called seconds or cpu; sizes are in bytes. A message's clock starts just before\n"
    "  it is written, or when it was due; it stops when a read has returned it.\n"
    "\n"
    "  broadcast   one message after the other to everybody     --messages, --pause\n"
    "  idle        open, print, and stay until stdin is closed\n"
    "  sustained   at a fixed rate, whatever comes back         --rate, --seconds, --senders, --within\n"
    "  stored      each sender awaits its receipt               --seconds, --senders, --rooms, --readers-per-room\n"
    "  slow        some readers stop reading                    --rate, --seconds, --stalled\n"
    "  rooms       a sender in each of many rooms               --rate, --seconds, --rooms, --readers-per-room\n"
    "  turns       the same, awaiting receipts; then those alone --seconds, --rooms, --readers-per-room, --alone\n"
    "\n"
    "  --host 127.0.0.1  --port N  --path /ws     where the server is\n"
    "  --ports 1                                  it has so many from there on, and the sockets go to each in turn\n"
    "  --protocol parlor|plain|socketio           what its frames mean (parlor)\n"
    "  --deflate                                  offer permessage-deflate, as Chromium does\n"
    "  --readers 1000  --senders 1                sockets; those who send read, too, and come on top\n"
    "  --cookies FILE                             one a line: the senders' Cookie headers, or everybody's\n"
    "  --paths FILE                               one a line: the rooms'\n"
    "  --alone N                                  the last of the rooms have no readers\n"
    "  --origin URL|none                          the Origin header (none)\n"
    "  --messages 200  --first 1  --size 600      how many, the first one's number, their length in characters\n"
    "  --rate R  --seconds S  --pause MS          messages a second in all; how long; between two broadcasts (2)\n"
    "  --within MS                                give up once that was too short for one delivery in a hundred\n"
    "  --window 64                                handshakes under way at a time\n"
    "  --from 127.0.0.1  --addresses N            the first of the addresses to come from, and how many\n"
    "  --pid N                                    the server's process, for its CPU time and memory; or one of them\n"
    "  --database N                               the first process of the database's, for the CPU time of all\n"
    "  --spin                                     never sleep, so that the server does not pay for waking this\n"
    "  --deadline 120                             seconds after which it gives up\n";

static _Noreturn void refuse(const char *what, const char *value)
{
    fprintf(stderr, "load: %s %s\n\n%s", what, value, USAGE);
    exit(2);
}

static double number(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value < 4e9))
        refuse("not a number:", text);
    return value;
}

static unsigned count(const char *text)
{
    double value = number(text);
    if (value != (unsigned)value)
        refuse("not a whole number:", text);
    return (unsigned)value;
}

static enum protocol protocol(const char *text)
{
    static const char *const NAMES[] = {"parlor", "plain", "socketio"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, NAMES[i]))
            return (enum protocol)i;
    refuse("no such protocol:", text);
}

enum which {
    HOST = 1, PORT, PORTS, PATH, PROTOCOL, DEFLATE, READERS, SENDERS, COOKIES, PATHS, ORIGIN, MESSAGES, FIRST, SIZE,
    RATE, SECONDS, PAUSE, WITHIN, WINDOW, FROM, ADDRESSES, PID, DATABASE, DEADLINE, STALLED, ROOMS, READERS_PER_ROOM,
    ALONE, SPIN,
    HELP
};

static const struct option_name {
    const char *name;
    enum which option;
} NAMES[] = {
    {"host", HOST}, {"port", PORT}, {"ports", PORTS}, {"path", PATH}, {"protocol", PROTOCOL}, {"deflate", DEFLATE},
    {"readers", READERS}, {"senders", SENDERS}, {"cookies", COOKIES}, {"paths", PATHS}, {"origin", ORIGIN},
    {"messages", MESSAGES}, {"first", FIRST}, {"size", SIZE}, {"rate", RATE}, {"seconds", SECONDS}, {"pause", PAUSE},
    {"within", WITHIN}, {"window", WINDOW}, {"from", FROM}, {"addresses", ADDRESSES}, {"pid", PID},
    {"database", DATABASE}, {"deadline", DEADLINE}, {"stalled", STALLED}, {"rooms", ROOMS},
    {"readers-per-room", READERS_PER_ROOM}, {"alone", ALONE}, {"spin", SPIN}, {"help", HELP},
};
enum { NAME_COUNT = sizeof NAMES / sizeof *NAMES };

static void add_pid(struct options *to, unsigned pid)
{
    if (to->pid_count == MOST_PIDS)
        refuse("too many:", "--pid");
    to->pids[to->pid_count++] = (pid_t)pid;
}

static void set(struct options *to, enum which option, const char *value)
{
    switch (option) {
    case HOST: to->host = value; break;
    case PORT: to->port = count(value); break;
    case PORTS: to->ports = count(value); break;
    case PATH: to->path = value; break;
    case PROTOCOL: to->protocol = protocol(value); break;
    case DEFLATE: to->deflate = true; break;
    case READERS: to->readers = count(value); break;
    case SENDERS: to->senders = count(value); break;
    case COOKIES: to->cookies = value; break;
    case PATHS: to->paths = value; break;
    case ORIGIN: to->origin = strcmp(value, "none") ? value : NULL; break;
    case MESSAGES: to->messages = count(value); break;
    case FIRST: to->first = count(value); break;
    case SIZE: to->size = count(value); break;
    case RATE: to->rate = number(value); break;
    case SECONDS: to->seconds = number(value); break;
    case PAUSE: to->pause = number(value); break;
    case WITHIN: to->within = number(value); break;
    case WINDOW: to->window = count(value); break;
    case FROM: to->from = value; break;
    case ADDRESSES: to->addresses = count(value); break;
    case PID: add_pid(to, count(value)); break;
    case DATABASE: to->database = (pid_t)count(value); break;
    case DEADLINE: to->deadline = number(value); break;
    case STALLED: to->stalled = count(value); break;
    case ROOMS: to->rooms = count(value); break;
    case READERS_PER_ROOM: to->readers = count(value); break;
    case ALONE: to->alone = count(value); break;
    case SPIN: to->spin = true; break;
    case HELP: fputs(USAGE, stdout); exit(0);
    }
}

static void judge(const struct options *options)
{
    if (!options->port || options->port > 65535)
        refuse("no --port", "");
    if (options->size < SHORTEST_TEXT || options->size > LONGEST_TEXT)
        refuse("--size is from 32 to 20000", "");
    if (!options->window || !options->rooms || !options->addresses || !options->ports)
        refuse("--window, --rooms, --addresses and --ports are at least 1", "");
    if (!options->senders && strcmp(options->scenario, "idle"))
        refuse("somebody has to say something: --senders is at least 1", "");
    if (options->rooms > 1 && !options->paths)
        refuse("several rooms, and no --paths", "");
    if (options->alone > options->rooms)
        refuse("more rooms are --alone than there are --rooms", "");
    if (!strcmp(options->scenario, "turns") && (!options->alone || options->alone == options->rooms))
        refuse("to take turns, some of the --rooms have to be --alone", "");
    if (options->first > 900000000)
        refuse("numbers have nine digits: --first is too high", "");
    if (options->stalled > options->readers)
        refuse("more --stalled than --readers", "");
}

struct options options_read(int count, char **words)
{
    struct options options = {
        .host = "127.0.0.1", .from = "127.0.0.1", .readers = UNSET, .senders = UNSET, .messages = 200,
        .first = 1, .size = 600, .seconds = 10, .pause = 2, .window = 64, .deadline = 120, .rooms = 1,
        .ports = 1,
    };
    struct option table[NAME_COUNT + 1] = {0};
    for (int i = 0; i < NAME_COUNT; i++) {
        bool bare = NAMES[i].option == DEFLATE || NAMES[i].option == SPIN || NAMES[i].option == HELP;
        table[i] = (struct option){NAMES[i].name, bare ? no_argument : required_argument, NULL, (int)NAMES[i].option};
    }
    for (int found; (found = getopt_long(count, words, "", table, NULL)) != -1;)
        if (found == '?')
            refuse("what is that?", "");
        else
            set(&options, (enum which)found, optarg);
    if (optind != count - 1)
        refuse("one scenario, please", "");
    options.scenario = words[optind];
    if (options.readers == UNSET)
        options.readers = strcmp(options.scenario, "stored") ? 1000 : 0;
    if (options.senders == UNSET)
        options.senders = strcmp(options.scenario, "idle") ? 1 : 0;
    if (!options.addresses)
        options.addresses = 1 + (options.readers + options.senders) * options.rooms / OWN_PORTS;
    if (!options.path)
        options.path = options.protocol == SOCKETIO ? "/socket.io/?EIO=4&transport=websocket" : "/ws";
    judge(&options);
    return options;
}
