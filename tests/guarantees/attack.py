"""G7: attackers without an account do what they can, and ten neighbours talk on.

What is judged is the neighbours' longest silence (from when one of them says something until all have it), how much
memory the server takes for it and gives back, that nobody is left behind in the room, and that a stop is quick while
attackers wait for their turn.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from time import monotonic

from tests.guarantees.attackers import ATTACKS
from tests.guarantees.crowd import PATIENCE, allow_many_files, figures, sign_in
from tests.guarantees.outcome import Outcome, first
from tests.protocol.raw import PONG, Frame, handshake, text
from tests.server import ROOT, Server, serving

NEIGHBOURS = 10
BEAT = 0.06  # seconds between two messages of the neighbours: as many frames as a browser may send
SILENCE = 0.1  # seconds for which a neighbour may hear nothing of what was said
GROWTH = 50_000_000  # bytes of memory, for 200 sockets
STOP_SECONDS = 0.5  # for a stop, of which 0.3 are the promise and the rest the end of the process
# Ten who talk at that beat say more than they may by default. All other limits are as they are, for attackers, too.
SETTINGS: dict[str, object] = {"messages_per_second": 2, "presence_grace": 0}


async def attack(data: Path, sockets: int = 200, names: Sequence[str] = tuple(ATTACKS), timed: bool = True) -> Outcome:
    """Have `sockets` attackers play each attack that is named. `timed`: also judge times (on a quiet machine)."""
    allow_many_files()
    failures: list[str] = []
    silences: dict[str, float] = {}
    growths: dict[str, int] = {}
    with serving(data, **SETTINGS) as server:
        cookies = [await sign_in(server.host, f"Attacker {number}", "127.9.0.2") for number in range(25)]
        async with gathered(server) as neighbours:
            async with measured(neighbours) as quiet:
                await asyncio.sleep(2)
            for name in names:
                before = server.memory
                async with measured(neighbours) as silence:
                    growths[name] = await played(server, name, sockets, cookies) - before
                silences[name] = max(silence)
                if await here(server) > NEIGHBOURS:
                    failures.append(f"after {name}, {await here(server)} sockets are open a second later")
                if timed and silences[name] > SILENCE:
                    failures.append(f"{name}: a neighbour heard nothing for {silences[name] * 1000:.0f} ms")
                if growths[name] > GROWTH:
                    failures.append(f"{name}: {growths[name] / 1e6:.0f} MB more memory")
            failures += ["a neighbour was cut off" for neighbour in neighbours if neighbour.is_cut_off]
            failures += [f"a neighbour was told: {notice}" for each in neighbours for notice in each.notices]
        seconds = await stopped(server, sockets)
        if timed and seconds > STOP_SECONDS:
            failures.append(f"a stop took {seconds:.1f} s")
        failures += server.complaints
    worst = max(silences, key=lambda name: silences[name])
    heaviest = max(growths, key=lambda name: growths[name])
    each = ", ".join(f"{name} {silences[name] * 1000:.0f} ms {growths[name] / 1e6:.0f} MB" for name in names)
    return Outcome(
        f"longest silence {silences[worst] * 1000:.0f} ms ({worst}), without attackers {max(quiet) * 1000:.0f} ms; "
        f"most memory {growths[heaviest] / 1e6:.0f} MB ({heaviest}); a stop {seconds:.1f} s; {each}",
        first(failures),
    )


class Neighbour(asyncio.Protocol):
    """One who talks, and notes when what somebody said comes to them.

    It looks for that in the bytes, and reads nothing else: ten of them share a processor, and an attack may be as much
    to read as it is to show.
    """

    PING = re.compile(rb"\x89\x04(.{4})", re.DOTALL)
    SAID = re.compile(rb"beat (\d+)\.")
    NOTICE = re.compile(rb'innerHTML:#notice">([^<]+)<')
    LONGEST = 400  # bytes of what is looked for, which may come in two pieces

    def __init__(self) -> None:
        self.heard_at: dict[int, float] = {}  # seconds of the monotonic clock, by what was said
        self.notices: set[str] = set()
        self.is_cut_off = False
        self.answered = asyncio.Event()  # by the server
        self._last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def say(self, frame: dict[str, str]) -> None:
        self.transport.write(text(json.dumps(frame)))

    def data_received(self, data: bytes) -> None:
        now = monotonic()
        self.answered.set()
        for payload in self.PING.findall(data):
            self.transport.write(Frame(PONG, payload).encoded())
        read = self._last + data
        for said in self.SAID.findall(read):
            self.heard_at.setdefault(int(said), now)
        self.notices.update(notice.decode() for notice in self.NOTICE.findall(read))
        self._last = read[-self.LONGEST :]

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_cut_off = True


@asynccontextmanager
async def gathered(server: Server) -> AsyncIterator[list[Neighbour]]:
    """Have neighbours come, each from an address of their own."""
    neighbours: list[Neighbour] = []
    for number in range(NEIGHBOURS):
        address = f"127.8.0.{number + 1}"
        cookie = await sign_in(server.host, f"Neighbour {number}", address)
        _, neighbour = await asyncio.get_running_loop().create_connection(
            Neighbour, server.machine.address, server.port, local_addr=(address, 0)
        )
        head = f"{handshake(server.host, '/ws')}\nOrigin: {server.url}\nCookie: parlor_member={cookie}\n\n"
        neighbour.transport.write(head.replace("\n", "\r\n").encode())
        await neighbour.answered.wait()
        neighbour.say({"cursor": ""})
        neighbours.append(neighbour)
    try:
        yield neighbours
    finally:
        for neighbour in neighbours:
            neighbour.transport.abort()


@asynccontextmanager
async def measured(neighbours: Sequence[Neighbour]) -> AsyncIterator[list[float]]:
    """Have them talk in turn meanwhile; gives how long each message took to come to the last of them."""
    said: dict[int, float] = {}
    times: list[float] = []

    async def talk() -> None:
        for turn in count(max((beat for each in neighbours for beat in each.heard_at), default=0) + 1):
            said[turn] = monotonic()
            neighbours[turn % NEIGHBOURS].say({"message": f"beat {turn}.", "key": f"key-{turn}"})
            await asyncio.sleep(BEAT)

    talking = asyncio.create_task(talk())
    try:
        yield times
    finally:
        talking.cancel()
        await asyncio.wait({talking})
    async with asyncio.timeout(PATIENCE):
        while not all(said.keys() <= each.heard_at.keys() for each in neighbours):  # noqa: ASYNC110
            await asyncio.sleep(BEAT)
    times += [max(each.heard_at[turn] for each in neighbours) - moment for turn, moment in said.items()]


async def played(server: Server, name: str, sockets: int, cookies: Sequence[str]) -> int:
    """Have an attack played; returns the most memory that the server held meanwhile."""
    command = [sys.executable, "-m", "tests.guarantees.attackers", server.host, name, str(sockets), *cookies]
    attackers = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    most = server.memory
    while attackers.returncode is None:
        most = max(most, server.memory)
        await asyncio.sleep(BEAT)
    assert attackers.returncode == 0, name
    await asyncio.sleep(1)  # in which all that they left is noticed
    return most


async def here(server: Server) -> float:
    """Return how many sockets the server holds open."""
    return (await figures(server.host))["parlor_connections"]


async def stopped(server: Server, sockets: int) -> float:
    """Stop the server while attackers wait for their turn; returns the seconds it takes."""
    command = [sys.executable, "-m", "tests.guarantees.attackers", server.host, "waiting", str(sockets)]
    attackers = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    async with asyncio.timeout(PATIENCE):
        while await here(server) < sockets / 2:  # noqa: ASYNC110 (the server is another process: we can but ask)
            await asyncio.sleep(BEAT)
    began = monotonic()
    await asyncio.to_thread(server.stop)
    seconds = monotonic() - began
    await attackers.wait()
    return seconds
