"""How each figure is measured: a function of a competitor and of sizes.

It starts the server, warms it up, plays a scenario of the load client's, and returns figures in the units that the
tables show.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

from bench import machine, pages, parlor
from bench.client import Failed, crowd, load
from bench.servers import Competitor, Server, running
from bench.sizes import Sizes

Figures = dict[str, float]

WARM_UP = {"readers": 20, "senders": 1, "messages": 100, "pause": 0}
SETTLED_SECONDS = 1.0  # until memory is looked at
HOLDS_MS = 100.0  # a rate holds while 99 % of the deliveries take no longer
PAGE_MESSAGES = 50

# Where the cost of deliveries is counted, heartbeats are no part of it.
NO_HEARTBEAT = {"PARLOR_HEARTBEAT": "600", "PARLOR_STALE_AFTER": "700", "PARLOR_LOST_AFTER": "800"}

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
    }


class Sustained:
    """The most messages per second, out of a ladder, that are delivered in time."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}  # where the round before ended, and this one begins

    def __call__(self, competitor: Competitor, sizes: Sizes) -> Figures:
        """Climb, and return the figures of the highest step that held."""
        held: dict[int, Figures] = {}
        errors: list[str] = []

        def holds(rate: int) -> bool:
            try:
                figures = at_rate(competitor, sizes, rate)
            except Failed as error:
                errors.append(f"{rate}/s: {error}")
                return False
            if figures["p99"] < HOLDS_MS:
                held[rate] = figures
            return rate in held

        start = self._last.get(competitor.name, sizes.ladder[len(sizes.ladder) // 2])
        best = climb(holds, sizes.ladder, start)
        if not best:
            raise Failed("; ".join(errors) or "not even the lowest rate held")
        self._last[competitor.name] = best
        return held[best]


def climb(holds: Callable[[int], bool], ladder: Sequence[int], start: int) -> int:
    """Return the highest step of `ladder` that `holds`: up from `start` until one does not, or down until one does.

    0 where none does.
    """
    step = ladder.index(start)
    if holds(ladder[step]):
        while step + 1 < len(ladder) and holds(ladder[step + 1]):
            step += 1
        return ladder[step]
    return next((rate for rate in reversed(ladder[:step]) if holds(rate)), 0)


def at_rate(competitor: Competitor, sizes: Sizes, rate: int) -> Figures:
    """Messages that come at `rate` per second, whether or not the ones before are delivered."""
    with started(competitor, sizes.senders) as server:
        found = load(
            server,
            "sustained",
            readers=sizes.readers,
            senders=sizes.senders,
            rate=rate,
            seconds=sizes.seconds,
            deadline=4 * sizes.seconds + 20,
        )
    return {"rate": rate, "p99": found["p99"] * MILLI, "deliveries": found["deliveries_per_second"]}


def stored(competitor: Competitor, sizes: Sizes) -> Figures:
    """Senders that each await their receipt before they send the next."""
    with started(competitor, sizes.senders) as server:
        found = load(server, "stored", readers=0, senders=sizes.senders, seconds=sizes.seconds)
    return {"rate": found["rate"], "median": found["median"] * MILLI, "p99": found["p99"] * MILLI}


def idle(competitor: Competitor, sizes: Sizes, deflate: bool = False) -> Figures:
    """Connections that come all at once, and then do nothing: how long that takes, and what each of them costs."""
    with started(competitor) as server:
        before = machine.memory(server.pid)
        with crowd(server, readers=sizes.crowd, deflate=deflate) as found:
            time.sleep(SETTLED_SECONDS)
            after = machine.memory(server.pid)
    return {"memory": (after - before) / sizes.crowd / KILO, "seconds": found["seconds"]}


def slow(competitor: Competitor, sizes: Sizes, stalled: str, rate: int, seconds: str) -> Figures:
    """Readers of whom some stop reading: what the others notice, and what it costs."""
    with started(competitor) as server:
        found = load(
            server,
            "slow",
            readers=sizes.readers,
            stalled=getattr(sizes, stalled),
            senders=1,
            rate=rate,
            seconds=getattr(sizes, seconds),
        )
    return {
        "p99": found["p99"] * MILLI,
        "silence": found["longest_silence"] * MICRO,
        "memory": found["rss_growth"] / MEGA,
        "cut": found["closed"],
        "cut_after": found["closed_after"],
    }


def room_page(competitor: Competitor, sizes: Sizes) -> Figures:
    """The newest page of a room in which five people talked, for a member; and the same while nothing changes."""
    with started(competitor, senders=5) as server:
        load(server, "sustained", readers=1, senders=5, rate=100, seconds=1, size=100)
        cookie = (server.folder / "cookies").read_text().splitlines()[0]
        page = pages.request(server.port, "/", cookie=cookie)
        first = pages.ask(server.port, page)
        if first.body.count('<li id="message-') != PAGE_MESSAGES:
            raise Failed(f"not a page of {PAGE_MESSAGES} messages: {first.status}")
        try:
            found = pages.repeat(server.port, page, 200, sizes.seconds)
            unchanged = _not_modified(server, cookie, first.header("etag"), sizes)
        except pages.Unexpected as error:
            raise Failed(str(error)) from error
    return {**found, **unchanged, "kilobytes": first.size / KILO}


def _not_modified(server: Server, cookie: str, etag: str, sizes: Sizes) -> Figures:
    """Return how often the same page can be asked for by those who have it; nothing where it cannot be told apart."""
    if not etag:
        return {}
    asked = pages.request(server.port, "/", cookie=cookie, if_none_match=etag)
    return {"unchanged": pages.repeat(server.port, asked, 304, sizes.seconds)["rate"]}


def rooms(competitor: Competitor, sizes: Sizes) -> Figures:
    """What one more delivery costs the server: in many small rooms, and in a single one with as many readers.

    In a small room a message is shared by few, so that most of its cost is not the deliveries'. That is what the same
    messages cost with nobody but their senders, and it is taken off.
    """
    # The senders read, too.
    many = _in_rooms(competitor, sizes, sizes.rooms, sizes.readers_per_room - 1, rate=2 * sizes.rooms)
    alone = _in_rooms(competitor, sizes, sizes.rooms, 0, rate=2 * sizes.rooms)
    one = _in_rooms(competitor, sizes, 1, sizes.rooms * sizes.readers_per_room - 1, rate=20)
    return {
        "many": (many["cpu"] - alone["cpu"]) / (many["received"] - alone["received"]) / MICRO,
        "one": one["cpu"] / one["received"] / MICRO,
        "message": alone["cpu"] / alone["received"] / MICRO,
    }


def _in_rooms(competitor: Competitor, sizes: Sizes, count: int, readers: int, rate: int) -> Figures:
    with started(competitor, environment=NO_HEARTBEAT) as server:
        cookie = (server.folder / "cookies").read_text().strip()
        paths = parlor.make_rooms(server.port, cookie, (f"Room {number}" for number in range(1, count + 1)))
        (server.folder / "paths").write_text("\n".join(paths) + "\n")
        # One member in all rooms: names are not what is measured.
        (server.folder / "cookies").write_text(f"{cookie}\n" * count)
        found = load(
            server,
            "rooms",
            rooms=count,
            readers_per_room=readers,
            paths=server.folder / "paths",
            rate=rate,
            seconds=sizes.seconds,
        )
    return {"cpu": found["server_cpu"], "received": found["received"]}
