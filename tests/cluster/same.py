"""G2 on several processes: live, resumed and reloaded pages are the same, wherever each was live, resumed or loaded."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.cluster.cluster import Cluster, eventually
from tests.guarantees.crowd import Guest, request, sign_in
from tests.guarantees.outcome import Outcome, first
from tests.page import Page

COMPARED = ("#cursor", "#rooms", "#members")
MOST_TURNS = 40  # messages of a script: they fit on one page
SETTLING_SECONDS = 10  # until who is here is the same everywhere
CHANGES = (
    *({"edit": text} for text in ("edited", "again", "@Same")),
    *({name: emoji} for name in ("react", "unreact") for emoji in ("👍", "🎉")),
    {"delete": "yes"},
)
TEXTS = ("hi", "<b>", "a\nb", "www.example.org", "@Same")


@dataclass
class Window(Guest):
    """A guest whose page is kept as a browser would show it."""

    page: Page = field(default_factory=lambda: Page(""))

    async def opens(self) -> "Window":
        """Load the page, and have it completed over its socket."""
        self.page = await load(self.host, self.room, self.cookie)
        self.cursor = self.page.value("#cursor")
        await self.come()
        return self

    async def returns_to(self, host: str) -> None:
        """Lose the link, and come back to the process at `host`."""
        await self.until(lambda: self.link is not None, "a link")
        assert self.link
        self.host = host
        back = self.comes_back()
        self.link.transport.abort()
        await back

    def _take(self, frame: str) -> None:
        self.page.take(frame)
        super()._take(frame)


async def load(host: str, room: str, cookie: str) -> Page:
    """Load a room's page from the process at `host`."""
    return Page((await request(host, "GET", f"/rooms/{room}", cookie=cookie)).partition("\r\n\r\n")[2])


async def same(cluster: Cluster, scripts: int = 20, seed: int = 1) -> Outcome:
    """Play random scripts of talking, changing, dropping, returning elsewhere, renaming; compare all pages."""
    chance = random.Random(seed)  # noqa: S311
    failures: list[str] = []
    turns = 0
    for number in range(scripts):
        script = Script(cluster, await cluster.room(f"Same {seed} {number}"), chance)
        await script.begin()
        try:
            for _ in range(chance.randint(5, MOST_TURNS)):
                await script.turn()
            failures += [f"script {number}: {difference}" for difference in await script.differences()]
        finally:
            await asyncio.gather(*(window.go() for window in script.windows))
        turns += script.turns
    return Outcome(f"{scripts} scripts of {turns} turns in all", first(failures))


class Script:
    """What happens in one room: two windows stay at their process, the others wander."""

    def __init__(self, cluster: Cluster, room: str, chance: random.Random) -> None:
        self.windows: list[Window] = []
        self.turns = 0
        self._cluster = cluster
        self._room = room
        self._chance = chance

    async def begin(self) -> None:
        """Open a window that stays and one that wanders at each process, each of somebody else."""
        for number, host in enumerate(self._cluster.hosts * 2):
            cookie = await sign_in(host, f"{self._room} {number}")
            self.windows.append(await Window(host, self._room, cookie).opens())

    @property
    def _wanderers(self) -> list[Window]:
        return self.windows[len(self._cluster.hosts) :]

    async def turn(self) -> None:
        """Have anything happen."""
        self.turns += 1
        choose = self._chance.choice
        window, host = choose(self.windows), choose(self._cluster.hosts)
        match choose(("say", "say", "post", "change", "change", "return", "return", "rename", "make a room")):
            case "say":
                await window.receipt(await window.say(choose((*TEXTS, f"@{self._room} 1"))))
            case "post":
                form = {"message": choose((*TEXTS, f"@{self._room} 1"))}
                await request(host, "POST", f"/rooms/{self._room}/messages", form, window.cookie)
            case "change":
                # Of whatever stands there, if it may be: the others are refused.
                of = f"/rooms/{self._room}/messages/{self._chance.randint(1, self.turns)}"
                await request(host, "POST", of, choose(CHANGES), window.cookie)
            case "return":
                await choose(self._wanderers).returns_to(host)
            case "rename":
                window.cookie = await sign_in(host, f"{self._room} so {self.turns}", cookie=window.cookie)
            case _:
                await request(host, "POST", "/rooms", {"name": f"{self._room} {self.turns}"}, window.cookie)

    async def differences(self) -> list[str]:
        """Return what differs between the pages that are open and one loaded from each process, once all is shown."""
        last = max(await self._cluster.database.log(self._room), default=0)
        await asyncio.gather(*(window.reaches(last) for window in self.windows if last))
        found: list[str] = []

        async def is_same() -> bool:
            loaded = [await load(host, self._room, self.windows[0].cookie) for host in self._cluster.hosts]
            found[:] = _different([*(window.page for window in self.windows), *loaded])
            return not found

        with suppress(TimeoutError):
            await eventually(is_same, "the same pages", SETTLING_SECONDS)
        return found


def _different(pages: Sequence[Page]) -> list[str]:
    one, *others = pages
    found = [
        f"page {number} shows\n{page.timeline()}\nand page 1\n{one.timeline()}"
        for number, page in enumerate(others, start=2)
        if page.timeline() != one.timeline()
    ]
    return found + [
        f"{selector} of page {number} is\n{page.show(selector)}and of page 1\n{one.show(selector)}"
        for selector in COMPARED
        for number, page in enumerate(others, start=2)
        if page.show(selector) != one.show(selector)
    ]
