"""What is measured, and of whom: scenarios of cases, each measured of its servers in turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bench.measures import (
    Figures,
    Sustained,
    broadcast,
    changed,
    idle,
    long_open,
    rendered,
    room_page,
    rooms,
    searched,
    shared_as_fast_as_it_goes,
    shared_at_ease,
    shared_bell,
    shared_idle,
    slow,
    stored,
)
from bench.servers import Competitor
from bench.sizes import Sizes

Measure = Callable[[Competitor, Sizes], Figures]


@dataclass(frozen=True)
class Column:
    """A figure as a table shows it."""

    name: str
    title: str
    unit: str = ""


@dataclass(frozen=True)
class Case:
    """One measurement, made of each of `servers` in turn; the first of `columns` is what they are compared by."""

    name: str
    title: str
    servers: tuple[str, ...]
    columns: tuple[Column, ...]
    measure: Measure
    tries: int = 3  # where others are at work meanwhile; one where these are a browser that belongs to it


@dataclass(frozen=True)
class Scenario:
    """Cases whose rounds are interleaved, since their figures are compared. `page` of docs/ shows them."""

    name: str
    cases: tuple[Case, ...]
    page: str = "performance"


# What the load client took of its core: while a message was on its way, or all the time where they come at a rate.
CLIENT = Column("client", "load client", "of its core")
EVERYBODY = ("limit", "guide", "ws", "socketio", "shut", "parlor")
BROADCAST = (
    Column("median", "last reader", "ms"),
    Column("p99", "p99", "ms"),
    Column("bytes", "on the wire", "bytes"),
    CLIENT,
)
TAIL = (Column("p99", "p99", "ms"), Column("median", "median", "ms"), Column("worst", "worst", "ms"), CLIENT)
IDLE = (Column("memory", "memory per connection", "kB"), Column("seconds", "all accepted", "s"), CLIENT)
SLOW = (
    Column("p99", "the others' p99", "ms"),
    Column("silence", "longest silence", "s"),
    Column("memory", "memory", "MB"),
    Column("cut", "cut off", ""),
    Column("cut_after", "after", "s"),
    CLIENT,
)

TOGETHER = ("parlor-1", "parlor-2", "parlor-4")
COSTS = (
    Column("processes_cpu", "the processes' CPU", "µs/message"),
    Column("database_cpu", "PostgreSQL's CPU", "µs/message"),
    Column("statements", "statements", "a message"),
    Column("notifications", "notifications", "a message"),
    Column("log_kilobytes", "write-ahead log", "kB/message"),
    CLIENT,
)

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "broadcast",
            (
                Case(
                    "broadcast",
                    "One message to 1,000",
                    EVERYBODY,
                    BROADCAST,
                    partial(broadcast, readers="readers", messages="messages"),
                ),
                Case(
                    "broadcast-deflate",
                    "One message to 1,000, compression offered",
                    ("limit", "guide", "ws", "shut", "parlor"),
                    BROADCAST,
                    partial(broadcast, readers="readers", messages="messages", deflate=True),
                ),
            ),
        ),
        Scenario(
            "crowd",
            (
                Case(
                    "crowd",
                    "One message to 4,000",
                    ("limit", "guide", "ws", "parlor"),
                    BROADCAST,
                    partial(broadcast, readers="crowd", messages="crowd_messages"),
                ),
                Case(
                    "crowd-deflate",
                    "One message to 4,000, compression offered",
                    ("limit", "parlor"),
                    BROADCAST,
                    partial(broadcast, readers="crowd", messages="crowd_messages", deflate=True),
                ),
            ),
        ),
        Scenario(
            "tail",
            (
                Case(
                    "tail",
                    "1,000 messages to 1,000, one after the other",
                    ("limit", "guide", "ws", "parlor"),
                    TAIL,
                    partial(broadcast, readers="readers", messages="many_messages"),
                ),
            ),
        ),
        Scenario(
            "sustained",
            (
                Case(
                    "sustained",
                    "Messages per second to 1,000, 99 % of them within 100 ms",
                    EVERYBODY,
                    (
                        Column("rate", "messages", "/s"),
                        Column("deliveries", "deliveries", "/s"),
                        Column("p99", "p99", "ms"),
                        CLIENT,
                    ),
                    Sustained(),
                ),
            ),
        ),
        Scenario(
            "stored",
            (
                Case(
                    "stored",
                    "Messages stored per second, 32 senders that await receipts",
                    ("parlor",),
                    (
                        Column("rate", "messages", "/s"),
                        Column("median", "median", "ms"),
                        Column("p99", "p99", "ms"),
                        CLIENT,
                    ),
                    stored,
                ),
            ),
        ),
        Scenario(
            "changed",
            (
                Case(
                    "changed",
                    "CPU time of a new message, an edit and a reaction, 32 members that await the answer",
                    ("parlor",),
                    (
                        Column("edit_ratio", "an edit", "of a message"),
                        Column("react_ratio", "a reaction", "of a message"),
                        Column("append", "a message", "µs"),
                        Column("edit", "an edit", "µs"),
                        Column("react", "a reaction", "µs"),
                    ),
                    changed,
                ),
            ),
        ),
        Scenario(
            "rendered",
            (
                Case(
                    "rendered",
                    "Rendering a message for everybody",
                    ("parlor",),
                    (
                        Column("plain", "plain text", "µs"),
                        Column("address", "with an address", "µs"),
                        Column("emphasis", "with an emphasis", "µs"),
                        Column("mention", "with a mention", "µs"),
                        Column("code", "with code", "µs"),
                        Column("body", "plain, its body alone", "µs"),
                        Column("unmarked", "the same without looking for markup", "µs"),
                    ),
                    rendered,
                ),
            ),
        ),
        Scenario(
            "searched",
            (
                Case(
                    "searched",
                    "Searching 1,000,000 messages",
                    ("parlor", "parlor-1"),
                    (
                        Column("p99", "p99", "ms"),
                        Column("median", "median", "ms"),
                        Column("worst", "worst", "ms"),
                        Column("stored", "a message to store", "µs"),
                    ),
                    searched,
                    tries=1,
                ),
            ),
        ),
        Scenario(
            "idle",
            (
                Case("idle", "4,000 idle connections", ("limit", "guide", "ws", "socketio", "parlor"), IDLE, idle),
                Case(
                    "idle-deflate",
                    "4,000 idle connections, compression offered",
                    ("guide", "ws", "parlor"),
                    IDLE,
                    partial(idle, deflate=True),
                ),
            ),
        ),
        Scenario(
            "slow",
            (
                Case(
                    "slow-none",
                    "20 messages per second to 1,000, all of whom read",
                    ("parlor",),
                    SLOW,
                    partial(slow, stalled="slow_none", rate=20, seconds="slow_seconds"),
                ),
                Case(
                    "slow",
                    "The same, and one of them stops reading",
                    ("parlor",),
                    SLOW,
                    partial(slow, stalled="slow_one", rate=20, seconds="slow_seconds"),
                ),
                Case(
                    "slow-many",
                    "100 messages per second to 1,000, and 50 of them stop reading",
                    ("parlor",),
                    SLOW,
                    partial(slow, stalled="slow_many", rate=100, seconds="slow_many_seconds"),
                ),
            ),
        ),
        Scenario(
            "pages",
            (
                Case(
                    "pages",
                    "A room's page with 50 messages",
                    ("parlor",),
                    (
                        Column("rate", "pages", "/s"),
                        Column("readers", "for those without a name", "/s"),
                        Column("unchanged", "unchanged (304)", "/s"),
                        Column("kilobytes", "size", "kB"),
                        CLIENT,
                    ),
                    room_page,
                ),
            ),
        ),
        Scenario(
            "open",
            (
                Case(
                    "open",
                    "A page that stays open, when it is new and after 20,000 messages: its main thread in Chromium",
                    ("parlor",),
                    (
                        Column("new", "a message, new", "ms"),
                        Column("old", "a message, later", "ms"),
                        Column("new_keys", "18 keys, new", "ms"),
                        Column("old_keys", "18 keys, later", "ms"),
                        Column("new_heap", "heap, new", "MB"),
                        Column("old_heap", "heap, later", "MB"),
                    ),
                    long_open,
                    tries=1,
                ),
            ),
        ),
        Scenario(
            "rooms",
            (
                Case(
                    "rooms",
                    "CPU time of a delivery, in 1,000 rooms of 5 and in one of 5,000",
                    ("parlor",),
                    (
                        Column("many", "1,000 rooms of 5", "µs"),
                        Column("one", "one room of 5,000", "µs"),
                        Column("message", "a message by itself", "µs"),
                        CLIENT,
                    ),
                    rooms,
                ),
            ),
        ),
        Scenario(
            "most",
            (
                Case(
                    "most",
                    "One message to 10,000",
                    ("limit", "guide", "ws", "parlor"),
                    BROADCAST,
                    partial(broadcast, readers="most", messages="most_messages"),
                ),
            ),
        ),
        Scenario(
            "processes",
            (
                Case(
                    "shared-stored",
                    "Messages stored per second, 32 senders that await receipts",
                    TOGETHER,
                    (Column("rate", "messages", "/s"), Column("p99", "receipt p99", "ms"), *COSTS),
                    partial(shared_as_fast_as_it_goes, readers="nobody"),
                ),
                Case(
                    "shared-delivered",
                    "The same, and 1,000 who read",
                    TOGETHER,
                    (
                        Column("rate", "messages", "/s"),
                        Column("deliveries", "deliveries", "/s"),
                        Column("p99", "receipt p99", "ms"),
                        *COSTS,
                    ),
                    partial(shared_as_fast_as_it_goes, readers="readers"),
                ),
                Case(
                    "shared-at-ease",
                    "50 messages per second to 1,000",
                    TOGETHER,
                    (Column("median", "median", "ms"), Column("p99", "p99", "ms"), *COSTS),
                    shared_at_ease,
                ),
                Case(
                    "shared-idle",
                    "1,000 who read, and nobody says anything",
                    ("parlor-1", "parlor-4"),
                    (
                        Column("processes_cpu", "the processes' CPU", "ms/s"),
                        Column("database_cpu", "PostgreSQL's CPU", "ms/s"),
                        Column("statements", "statements", "/s"),
                        Column("notifications", "notifications", "/s"),
                        Column("log_kilobytes", "write-ahead log", "kB/s"),
                    ),
                    shared_idle,
                ),
                Case(
                    "shared-bell",
                    "A notification, by how many processes hear it",
                    (*TOGETHER, "parlor-16", "parlor-64"),
                    (Column("database_cpu", "PostgreSQL's CPU", "µs"),),
                    shared_bell,
                ),
            ),
            page="scaling",
        ),
    )
}


PAGES = tuple(dict.fromkeys(scenario.page for scenario in SCENARIOS.values()))
