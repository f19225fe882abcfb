"""G4: a reader that stalls is cut off within 10 seconds or at its buffer's limit, and nobody else notices.

The server closes with 1013. Who reads nothing sees that only if what was sent before still fits into the buffers of
the systems in between. Else the connection ends without a word a second later, which a browser calls 1006: it comes
back after either. That it was 1013 is what the server counts, in `parlor_connections_cut_total`.

The 10 seconds begin when the buffers of both systems are full: until then, for the server, it takes everything.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from statistics import median
from time import monotonic

from tests.guarantees import ledger
from tests.guarantees.crowd import CROWD, Guest, allow_many_files, figures, gathered, members
from tests.guarantees.outcome import Outcome, first, percentile
from tests.server import Server, serving

RECEIVES = 4096  # bytes: as little as a system keeps for somebody who does not read
BUFFERED = 100_000  # bytes that both systems and the server's transport take at most, before it notices
CUT_SECONDS = 10.0
PATIENCE = 30.0  # for a cut
MOST_SLOWER = 1.10  # the others' p99, to that without the one who stalls
MOST_GROWTH = 20_000_000  # bytes of the server's memory, for one who never reads
FILLING = "x" * 3900
CUT = "parlor_connections_cut_total{"


async def slow(
    data: Path,
    readers: int = 200,
    rounds: int = 4,
    seconds: float = 10,
    stall_seconds: float = 7,
    outbox_length: int = 1_000_000,
    judged: bool = True,
) -> Outcome:
    """One of `readers` stops reading for `rounds` rounds of `seconds`, and in as many none does; then a sender stops.

    `judged`: also judge times and memory, which wants a quiet machine.
    """
    allow_many_files()
    failures: list[str] = []
    with serving(data, **CROWD, stall_seconds=stall_seconds, outbox_length=outbox_length) as server:
        guests = await members(server.host, (f"Guest {number}" for number in range(readers)))
        stalling, mute, others = guests[0], guests[1], guests[1:]
        stalling.receives = mute.receives = RECEIVES
        async with gathered(guests):
            talk = Talk(guests[2:4])
            async with talk.flowing():
                await _cut(server, stalling)  # a round to warm up
                await talk.latencies(others, seconds)
                cuts, alone, along = [], [], []
                for _ in range(rounds):
                    measuring = asyncio.create_task(talk.latencies(others, seconds))
                    cuts.append(await _cut(server, stalling))
                    along.append(percentile(await measuring, 0.99))
                    alone.append(percentile(await talk.latencies(others, seconds), 0.99))
                before = server.memory
                await _never_read(server, mute)
                growth = server.memory - before
            await asyncio.gather(*(guest.settled() for guest in guests))
            log = ledger.read(data)
            await asyncio.gather(*(guest.reaches(len(log)) for guest in guests))
    failures += ledger.flaws(log, guests) + ledger.differences(log, guests)
    failures += [
        f"closed by {code}" for guest in (stalling, mute) for code in guest.closings if code not in (1006, 1013)
    ]
    if disturbed := [guest for guest in guests[2:] if guest.closings]:
        failures.append(f"{len(disturbed)} others were closed too, by {disturbed[0].closings}")
    slower = median(along) / median(alone)
    within = max(cuts) - BUFFERED / talk.bytes_per_second
    if judged and within > CUT_SECONDS:
        failures.append(f"cut off only {within:.1f} s after its buffers were full")
    if judged and slower > MOST_SLOWER:
        failures.append(f"the others' p99 was {slower:.2f} times as long")
    if judged and growth > MOST_GROWTH:
        failures.append(f"the server's memory grew by {growth / 1e6:.0f} MB for one who does not read")
    return Outcome(
        f"1 of {readers} cut off {len(cuts)} times, {max(cuts):.1f} s after it stopped at the latest; "
        f"p99 of the others {median(along) * 1000:.0f} ms, without it {median(alone) * 1000:.0f} ms; "
        f"a sender that reads nothing costs {max(0, growth) / 1e6:.1f} MB",
        first(failures),
    )


class Talk:
    """Texts of 4 kB that flow at a steady pace, and how long each takes to be shown."""

    def __init__(self, writers: Sequence[Guest], pause: float = 0.2) -> None:
        self._writers = writers
        self._pause = pause
        self._said_at: dict[str, float] = {}

    @property
    def bytes_per_second(self) -> float:
        """How much of it came to everybody."""
        moments = list(self._said_at.values())
        return len(moments) * len(FILLING) / (moments[-1] - moments[0])

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Keep talking."""
        talking = asyncio.create_task(self._talk())
        try:
            yield
        finally:
            talking.cancel()
            await asyncio.wait({talking})
        assert talking.cancelled(), talking.exception()

    async def _talk(self) -> None:
        for turn in count(1):
            for number, writer in enumerate(self._writers):
                text = f"{turn} of writer {number} {FILLING}"
                self._said_at[text] = monotonic()
                await writer.say(text)
            await asyncio.sleep(self._pause)

    async def latencies(self, readers: Sequence[Guest], seconds: float) -> list[float]:
        """Return how long each text of the next `seconds` took to each of `readers`."""
        known = max(readers[0].shown)
        await asyncio.sleep(seconds)
        last = max(readers[0].shown)
        await asyncio.gather(*(reader.reaches(last) for reader in readers))
        return [
            reader.shown_at[position] - self._said_at[reader.shown[position]]
            for reader in readers
            for position in range(known + 1, last + 1)
            if reader.shown[position] in self._said_at
        ]


async def _cut(server: Server, guest: Guest) -> float:
    """Have `guest` stop reading until it is cut off and read again; return after how many seconds it was cut off."""
    known = await _cuts(server)
    began = monotonic()
    guest.stop_reading()
    async with asyncio.timeout(PATIENCE):
        while await _cuts(server) == known:  # noqa: ASYNC110 (the server is another process: we can but ask)
            await asyncio.sleep(0.1)
    seconds = monotonic() - began
    back = guest.comes_back()
    guest.read_again()
    await back
    return seconds


async def _never_read(server: Server, guest: Guest) -> None:
    """Have `guest` talk without reading a receipt until it is cut off, and then read again."""
    known = await _cuts(server)
    guest.stop_reading()
    for turn in count(1):
        await guest.say(f"{turn} of one who does not listen")
        if turn % 20 == 0:
            await asyncio.sleep(0.1)
            if await _cuts(server) > known:
                break
    back = guest.comes_back()
    guest.read_again()
    await back


async def _cuts(server: Server) -> float:
    return sum(value for name, value in (await figures(server.host)).items() if name.startswith(CUT))
