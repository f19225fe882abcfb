"""The soak: people who come and go, rooms that fill and empty, and in the end nothing is left of them.

What a server holds is looked at when all have gone and their grace has passed: once after a warm-up, in which it
loads and caches what it needs, and again after the soak. Tasks, files and tables have to be as they were. Memory may
differ by a tenth: how much a process gives back to the system is not for it alone to say.
"""

import asyncio
import random
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import monotonic

from tests.guarantees.crowd import CROWD, PATIENCE, Guest, allow_many_files, backoff, figures, request, sign_in
from tests.guarantees.outcome import Outcome, first
from tests.server import Server, serving

ROOMS = ("lobby", "kitchen", "garden", "cellar")
MOST_GROWTH = 1.10  # of memory
MOST_MORE_FILES = 10  # connections to the database, which are pooled
HELD = ("parlor_connections", "parlor_rooms_active", "parlor_buckets", "parlor_tasks")


@dataclass(frozen=True)
class NameUnavailable:
    """What a server holds."""

    tables: dict[str, float]
    files: int
    memory: int  # bytes

    def __str__(self) -> str:
        return f"{self.memory / 1e6:.0f} MB, {self.files} files, {self.tables['parlor_tasks']:.0f} tasks"


async def churn(
    data: Path, seconds: float = 600, warm_up: float = 60, at_once: int = 60, judged: bool = True
) -> Outcome:
    """Have `at_once` people at a time come, talk and go for `seconds`. `judged`: also judge the memory."""
    allow_many_files()
    with serving(data, **CROWD, presence_grace=1, heartbeat=1) as server:
        crowd = Crowd(server.host)
        await crowd.make_rooms()
        await crowd.live(warm_up, at_once)
        warm = await _quiet(server)
        visits = crowd.visits
        await crowd.live(seconds, at_once)
        after = await _quiet(server)
    failures = [
        f"{name} is {after.tables[name]:g}, was {warm.tables[name]:g}"
        for name in HELD
        if after.tables[name] > warm.tables[name]
    ]
    failures += crowd.wrong
    if after.files > warm.files + MOST_MORE_FILES:
        failures.append(f"{after.files} files are open, were {warm.files}")
    if judged and after.memory > warm.memory * MOST_GROWTH:
        failures.append(f"it holds {after.memory / 1e6:.0f} MB, held {warm.memory / 1e6:.0f} MB")
    return Outcome(f"{crowd.visits - visits:,} visits; before: {warm}; after: {after}", first(failures))


class Crowd:
    """People who visit the rooms of the server at `host`."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._cookies = [""]  # of those who have been here; the empty one is nobody's
        self._names = count(1)
        self.visits = 0
        self.wrong: list[str] = []

    async def make_rooms(self) -> None:
        """Make those of `ROOMS` that are not there from the start."""
        self._backoff = await backoff(self._host)
        cookie = await sign_in(self._host, "Host")
        for name in ROOMS[1:]:
            await request(self._host, "POST", "/rooms", {"name": name}, cookie)

    async def live(self, seconds: float, at_once: int) -> None:
        """Come and go for `seconds`."""
        end = monotonic() + seconds

        async def visit_on_and_on() -> None:
            while monotonic() < end:
                await self._visit()

        await asyncio.gather(*(visit_on_and_on() for _ in range(at_once)))

    async def _visit(self) -> None:
        if random.random() < 0.1:  # noqa: S311
            self._cookies.append(await sign_in(self._host, f"Visitor {next(self._names)}"))
        guest = Guest(self._host, random.choice(ROOMS), random.choice(self._cookies), self._backoff)  # noqa: S311
        try:
            await guest.come()
            for turn in range(random.randrange(4) if guest.cookie else 0):  # noqa: S311
                await guest.receipt(await guest.say(f"{turn} of visit {self.visits}"))
            await asyncio.sleep(random.random())  # noqa: S311
        finally:
            await guest.go()
        self.visits += 1
        self.wrong += guest.wrong


async def _quiet(server: Server) -> NameUnavailable:
    """Return what `server` holds, once nobody is there and it has noticed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await figures(server.host)
            if not any(found[name] for name in HELD if name != "parlor_tasks"):
                return NameUnavailable({name: found[name] for name in HELD}, server.open_files, server.memory)
            await asyncio.sleep(0.2)
