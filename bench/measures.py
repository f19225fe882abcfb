"""How each figure is measured: a function of a competitor and of sizes.

It starts the server, warms it up, plays a scenario of the load client's, and returns figures in the units that the
tables show.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from operator import sub
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from bench import bell, changing, machine, open_page, pages, parlor, postgres, searching
from bench.client import Failed, crowd, load
from bench.postgres import Asked
from bench.rendering import times
from bench.servers import BUILD, Competitor, Server, free_ports, running
from bench.sizes import Sizes

Figures = dict[str, float]

WARM_UP = {"readers": 20, "senders": 1, "messages": 100, "pause": 0}
SETTLED_SECONDS = 1.0  # until memory is looked at
HOLDS_MS = 100  # a rate holds while 99 % of the deliveries take no longer
PAGE_MESSAGES = 50

# Where the cost of deliveries is counted, heartbeats are no part of it.
NO_HEARTBEAT = {"PARLOR_HEARTBEAT": "600", "PARLOR_STALE_AFTER": "700", "PARLOR_LOST_AFTER": "800"}
# Who talked stays on the page, which is the same for as long as it is asked for.
NOBODY_LEAVES = {"PARLOR_PRESENCE_GRACE": "600"}

MICRO, MILLI = 1e-6, 1e-3  # what the client's microseconds are in seconds, and in milliseconds
KILO, MEGA = 1e3, 1e6  # bytes


# Starting


@contextmanager
def started(
    competitor: Competitor, senders: int = 1, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Server]:
    """Run `competitor`, with names for its `senders`, and warmed up in a room that nothing else is measured in."""
    with running(replace(competitor, environment={**competitor.environment, **environment})) as server:
        elsewhere: dict[str, object] = {}
        if server.is_parlor():
            cookies = parlor.sign_in(server.port, senders)
            (server.folder / "cookies").write_text("\n".join(cookies) + "\n")
            elsewhere["path"] = parlor.make_rooms(server.port, cookies[0], ["Warm up"])[0]
        load(server, "broadcast", **WARM_UP, **elsewhere)
        yield server


# Measuring


def broadcast(competitor: Competitor, sizes: Sizes, readers: str, messages: str, deflate: bool = False) -> Figures:
    """One message after the other to `readers` (the name of a size): from the sender's frame to the last reader."""
    with started(competitor) as server:
        found = load(
            server,
            "broadcast",
            readers=getattr(sizes, readers),
            senders=1,
            messages=getattr(sizes, messages),
            deflate=deflate,
        )
    return {
        "median": found["median"] * MILLI,
        "p99": found["p99"] * MILLI,
        "worst": found["worst"] * MILLI,
        "bytes": found["wire_bytes_per_delivery"],
        "client": found["client_share"],
    }


class Sustained:
    """The most messages per second, out of a ladder, that are delivered in time."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}  # where the round before ended, and this one begins

    def __call__(self, competitor: Competitor, sizes: Sizes) -> Figures:
        """Return the figures of the highest step that holds.

        `client` is the most that the load took there and one step above: where that is all of its core, it may be the
        load that could not go higher.
        """
        tried: dict[int, Figures] = {}
        error = Failed("not even the lowest rate held")

        def holds(rate: int) -> bool:
            nonlocal error
            try:
                tried[rate] = at_rate(competitor, sizes, rate)
            except Failed as failed:
                error = failed
                tried[rate] = {"p99": math.inf, "client": failed.figures.get("client_share", 0.0)}
            return tried[rate]["p99"] < HOLDS_MS

        best = highest(holds, sizes.ladder, self._last.get(competitor.name))
        if not best:
            raise error
        self._last[competitor.name] = best
        at_the_end = sorted(rate for rate in tried if rate >= best)[:2]
        return {**tried[best], "client": max(tried[rate]["client"] for rate in at_the_end)}


def highest(holds: Callable[[int], bool], ladder: Sequence[int], before: int | None = None) -> int:
    """Return the highest step of `ladder` that `holds`, in few tries; 0 where none does.

    `before` is what it was the last time: two tries are enough where it still is.
    """
    least, most = 0, len(ladder)  # how many steps hold

    def ask(step: int) -> None:
        nonlocal least, most
        if holds(ladder[step]):
            least = step + 1
        else:
            most = step

    if before in ladder:
        ask(ladder.index(before))
        if least < most:
            ask(least or most - 1)  # the step beside it
    while least < most:
        ask((least + most) // 2)
    return ladder[least - 1] if least else 0


def at_rate(competitor: Competitor, sizes: Sizes, rate: int) -> Figures:
    """Messages that come at `rate` per second, whether or not the ones before are delivered."""
    with started(competitor, sizes.writers) as server:
        found = load(
            server,
            "sustained",
            readers=sizes.readers - sizes.writers,
            senders=sizes.writers,
            rate=rate,
            seconds=sizes.seconds,
            within=HOLDS_MS,
            deadline=2 * sizes.seconds + 10,
        )
    return {
        "rate": rate,
        "p99": found["p99"] * MILLI,
        "deliveries": found["deliveries_per_second"],
        "client": found["client_share"],
    }


def stored(competitor: Competitor, sizes: Sizes) -> Figures:
    """Senders that each await their receipt before they send the next."""
    with started(competitor, sizes.senders) as server:
        found = load(server, "stored", readers=0, senders=sizes.senders, seconds=sizes.seconds)
    return {
        "rate": found["rate"],
        "median": found["median"] * MILLI,
        "p99": found["p99"] * MILLI,
        "client": found["client_share"],
    }


def changed(competitor: Competitor, sizes: Sizes) -> Figures:
    """Members who each await the answer: new messages, edits and reactions, in turn."""
    with started(competitor, sizes.senders, NO_HEARTBEAT) as server:
        cookies = (server.folder / "cookies").read_text().splitlines()
        (room,) = parlor.make_rooms(server.port, cookies[0], ["Changes"])
        with machine.pinned(machine.cores()[1]):
            found = asyncio.run(changing.play(server.port, server.pid, cookies, room, sizes.turns, sizes.turn))
    costs = {kind: found[kind] / MICRO for kind in changing.KINDS}
    return {
        **found,
        **costs,
        "edit_ratio": found["edit"] / found["append"],
        "react_ratio": found["react"] / found["append"],
    }


def searched(competitor: Competitor, sizes: Sizes) -> Figures:
    """What queries of all kinds take in a log of many messages, here."""
    with TemporaryDirectory(dir=BUILD, prefix="run-") as name, ExitStack() as stack:
        folder = Path(name)
        url = f"sqlite:///{folder / 'parlor.db'}"
        if competitor.shares:
            url = stack.enter_context(postgres.running(folder / "postgres", free_ports(1))).url
        found, stored = asyncio.run(searching.times(url, sizes.searched))
    return {
        "p99": found[len(found) * 99 // 100] / MILLI,
        "median": median(found) / MILLI,
        "worst": found[-1] / MILLI,
        "stored": stored / MICRO,
    }


def rendered(competitor: Competitor, sizes: Sizes) -> Figures:
    """What it takes to render a message, here, on the servers' core."""
    with machine.pinned(machine.cores()[0]):
        return {name: seconds / MICRO for name, seconds in times().items()}


def shared_as_fast_as_it_goes(competitor: Competitor, sizes: Sizes, readers: str) -> Figures:
    """Like `stored`, of processes that share a database, with `readers` (the name of a size) beside those who send."""
    with started(competitor, sizes.senders) as server:
        found, asked = _asking(
            server, "stored", readers=getattr(sizes, readers), senders=sizes.senders, seconds=sizes.seconds
        )
    return {
        "rate": found["rate"],
        "deliveries": found["received"] / found["seconds"],
        "p99": found["p99"] * MILLI,
        **_shared_costs(found, asked),
    }


def shared_at_ease(competitor: Competitor, sizes: Sizes) -> Figures:
    """Messages at a modest rate, of processes that share a database: how late they are, and what they cost."""
    with started(competitor, sizes.senders) as server:
        found, asked = _asking(
            server,
            "sustained",
            readers=sizes.readers,
            senders=sizes.senders,
            rate=sizes.shared_rate,
            seconds=sizes.shared_seconds,
        )
    return {"median": found["median"] * MILLI, "p99": found["p99"] * MILLI, **_shared_costs(found, asked)}


def shared_idle(competitor: Competitor, sizes: Sizes) -> Figures:
    """Those who are at several processes say nothing (but one message, so that there is something to wait for)."""
    with started(competitor) as server:
        found, asked = _asking(
            server,
            "sustained",
            readers=sizes.readers,
            senders=1,
            rate=1 / sizes.shared_seconds,
            seconds=sizes.shared_seconds,
        )
    passed = sizes.shared_seconds
    return {
        "processes_cpu": found["server_cpu"] / passed / MILLI,
        "database_cpu": found["database_cpu"] / passed / MILLI,
        "statements": asked.statements / passed,
        "notifications": asked.notifications / passed,
        "log_kilobytes": asked.log_bytes / passed / KILO,
    }


def shared_bell(competitor: Competitor, sizes: Sizes) -> Figures:
    """What one notification costs a database at which so many processes listen. None of them is there."""
    return {"database_cpu": bell.cost(competitor.processes, sizes.notifications) / MICRO}


def _asking(server: Server, scenario: str, **options: object) -> tuple[Figures, Asked]:
    """Play a scenario, and return what was asked of the database meanwhile, too."""
    assert server.database
    server.database.count_anew()
    found = load(server, scenario, **options)
    return found, server.database.asked()


def _shared_costs(found: Figures, asked: Asked) -> Figures:
    return {
        "processes_cpu": found["server_cpu"] / found["sent"] / MICRO,
        "database_cpu": found["database_cpu"] / found["sent"] / MICRO,
        "statements": asked.statements / found["sent"],
        "notifications": asked.notifications / found["sent"],
        "log_kilobytes": asked.log_bytes / found["sent"] / KILO,
        "client": found["client_share"],
    }


def idle(competitor: Competitor, sizes: Sizes, deflate: bool = False) -> Figures:
    """Connections that come all at once, and then do nothing: how long that takes, and what each of them costs."""
    with started(competitor) as server:
        before = machine.memory(server.pid)
        with crowd(server, readers=sizes.crowd, deflate=deflate) as found:
            time.sleep(SETTLED_SECONDS)
            after = machine.memory(server.pid)
    return {
        "memory": (after - before) / sizes.crowd / KILO,
        "seconds": found["seconds"],
        "client": found["client_share"],
    }


def slow(competitor: Competitor, sizes: Sizes, stalled: str, rate: int, seconds: str) -> Figures:
    """Readers of whom some stop reading: what the others notice, and what it costs."""
    with started(competitor, sizes.writers) as server:
        found = load(
            server,
            "slow",
            readers=sizes.readers - sizes.writers,
            stalled=getattr(sizes, stalled),
            senders=sizes.writers,
            rate=rate,
            seconds=getattr(sizes, seconds),
        )
    return {
        "p99": found["p99"] * MILLI,
        "silence": found["longest_silence"] * MICRO,
        "memory": found["rss_growth"] / MEGA,
        "cut": found["closed"],
        "cut_after": found["closed_after"],
        "client": found["client_share"],
    }


def room_page(competitor: Competitor, sizes: Sizes) -> Figures:
    """The newest page of a room in which five people talked: for a member, and for those who only read."""
    with started(competitor, senders=5, environment=NOBODY_LEAVES) as server:
        load(server, "sustained", readers=1, senders=5, rate=100, seconds=1, size=100)
        cookie = (server.folder / "cookies").read_text().splitlines()[0]
        page = pages.request(server.port, "/", cookie=cookie)
        first = pages.ask(server.port, page)
        if first.body.count('<li id="message-') != PAGE_MESSAGES:
            raise Failed(f"not a page of {PAGE_MESSAGES} messages: {first.status}")
        try:
            found = pages.repeat(server.port, page, 200, sizes.seconds)
            read = _without_a_name(server, sizes)
        except pages.Unexpected as error:
            raise Failed(str(error)) from error
    return {**found, **read, "kilobytes": first.size / KILO}


def _without_a_name(server: Server, sizes: Sizes) -> Figures:
    """Return how often a reader's page can be asked for, and how often by those who have it."""
    page = pages.request(server.port, "/")
    found = pages.repeat(server.port, page, 200, sizes.seconds)
    known = pages.request(server.port, "/", if_none_match=pages.ask(server.port, page).header("etag"))
    return {"readers": found["rate"], "unchanged": pages.repeat(server.port, known, 304, sizes.seconds)["rate"]}


def long_open(competitor: Competitor, sizes: Sizes) -> Figures:
    """What a page does for one more message, and for 18 keys, when it is new and after many have arrived."""
    with started(competitor, senders=2) as server:
        reader, speaker = (server.folder / "cookies").read_text().splitlines()
        with open_page.opened(server.port, reader, speaker) as page:
            page.hears(open_page.FIRST)
            new = page.cost()
            page.hears(sizes.arrivals)
            old = page.cost()
    return {
        "new": new.arrival / MILLI,
        "old": old.arrival / MILLI,
        "new_keys": new.keys / MILLI,
        "old_keys": old.keys / MILLI,
        "new_heap": new.heap / MEGA,
        "old_heap": old.heap / MEGA,
    }


def rooms(competitor: Competitor, sizes: Sizes) -> Figures:
    """What one more delivery costs the server: in many small rooms, and in a single one with as many readers.

    In a small room a message is shared by few, so that most of its cost is not the deliveries'. That is what messages
    cost in rooms with nobody but their senders, which take turns with the others; and it is taken off. Each sender
    awaits the receipt: so as many are always under way, and they are stored in batches of one size, whatever they cost.
    """
    count, readers = sizes.rooms, sizes.readers_per_room
    # The senders read, too.
    turns = _play_in_rooms(competitor, 2 * count, "turns", readers - 1, alone=count, seconds=sizes.turn_seconds)
    one = _play_in_rooms(competitor, 1, "rooms", count * readers - 1, rate=20, seconds=sizes.seconds)
    return {
        "many": median(map(sub, turns["shared"], turns["alone"])) / (readers - 1),
        "one": one["server_cpu"] / one["received"] / MICRO,
        "message": median(turns["alone"]),
        "client": max(turns["client_share"], one["client_share"]),
    }


def _play_in_rooms(
    competitor: Competitor, count: int, scenario: str, readers: int, **options: object
) -> dict[str, Any]:
    """Play a scenario in `count` rooms, with so many readers in each. One member is in all of them.

    The load never sleeps: it has little to do where rooms are small, and the server's core would pay for waking it.
    """
    with started(competitor, environment=NO_HEARTBEAT) as server:
        cookie = (server.folder / "cookies").read_text().strip()
        paths = parlor.make_rooms(server.port, cookie, (f"Room {number}" for number in range(1, count + 1)))
        (server.folder / "paths").write_text("\n".join(paths) + "\n")
        (server.folder / "cookies").write_text(f"{cookie}\n" * count)
        options |= {"rooms": count, "readers_per_room": readers, "paths": server.folder / "paths", "spin": True}
        return load(server, scenario, **options)
