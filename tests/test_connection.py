"""One browser: its outbox, its limit, how it is cut off."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connection import CloseCode, Connection
from tests.cast import ANN

LIMIT = 10
SOON = 0.01  # for what must end by itself; nothing is measured against it
NEVER = 3600.0


class Browser:
    """Takes frames while it is `willing`."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.willing = asyncio.Event()
        self.willing.set()

    async def send(self, frame: str) -> None:
        await self.willing.wait()
        self.taken.append(frame)


def connect(stall_seconds: float = NEVER, limit: int = LIMIT) -> Connection:
    return Connection(ANN, ANN.time_zone, limit, stall_seconds)


@asynccontextmanager
async def writing(connection: Connection, browser: Browser) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(connection.write(browser.send))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def turns(number: int = 20) -> None:
    """Let everything happen that can happen now."""
    for _ in range(number):
        await asyncio.sleep(0)


def kept(connection: Connection) -> int:
    """Return how much memory waits for a browser, in frames."""
    return len(connection._outbox)


async def test_frames_arrive_in_the_order_in_which_they_were_offered() -> None:
    connection, browser = connect(limit=1_000), Browser()
    frames = [f"frame {number}" for number in range(20)]
    async with writing(connection, browser):
        for frame in frames[:10]:
            connection.offer(frame)
        await connection.drained()
        for frame in frames[10:]:
            connection.offer(frame)
            await turns(1)
        await connection.drained()
    assert browser.taken == frames


async def test_what_was_offered_before_the_writer_ran_is_sent() -> None:
    connection, browser = connect(), Browser()
    connection.offer("early")
    async with writing(connection, browser):
        await connection.drained()
    assert browser.taken == ["early"]


def test_offering_is_a_plain_function() -> None:
    assert not inspect.iscoroutinefunction(Connection.offer)


async def test_what_a_browser_does_not_take_yet_waits_for_it() -> None:
    connection, browser = connect(), Browser()
    browser.willing.clear()
    async with writing(connection, browser):
        await turns()
        connection.offer("hello")
        await turns()
        assert browser.taken == []
        browser.willing.set()
        await connection.drained()
        assert browser.taken == ["hello"]


async def test_an_outbox_may_be_full_to_its_limit_and_no_further() -> None:
    connection = connect()
    connection.offer("x" * (LIMIT - 1))
    connection.offer("y")
    assert not connection.cut_off.done()
    connection.offer("z")
    assert connection.cut_off.result() == "outbox"


async def test_a_frame_counts_while_it_is_being_sent() -> None:
    connection, browser = connect(), Browser()
    browser.willing.clear()
    async with writing(connection, browser):
        connection.offer("x" * LIMIT)
        await turns()
        assert kept(connection) == 0
        connection.offer("y")
        assert connection.cut_off.result() == "outbox"


async def test_a_frame_that_was_taken_counts_no_longer() -> None:
    connection, browser = connect(), Browser()
    async with writing(connection, browser):
        for _ in range(10):
            connection.offer("x" * LIMIT)
            await connection.drained()
    assert not connection.cut_off.done()
    assert len(browser.taken) == 10


async def test_a_browser_that_waits_for_nothing_is_given_a_frame_of_any_size() -> None:
    # Cut off for it, it would come back, ask for the same frame, and be cut off for ever.
    connection, browser = connect(), Browser()
    async with writing(connection, browser):
        connection.offer("x" * 100 * LIMIT)
        await connection.drained()
        connection.offer("y" * 100 * LIMIT)
        await connection.drained()
    assert not connection.cut_off.done()
    assert len(browser.taken) == 2


@given(st.lists(st.one_of(st.integers(0, 2 * LIMIT), st.none()), max_size=30))
def test_the_outbox_is_bounded_whatever_is_offered(steps: list[int | None]) -> None:
    """Each step offers a frame of so many characters, or (None) lets the browser take what there is."""

    async def run() -> None:
        connection, browser = connect(), Browser()
        offered: list[str] = []
        async with writing(connection, browser):
            for step in steps:
                if step is None:
                    await turns(100)
                    assert connection.cut_off.done() or browser.taken == offered
                else:
                    offered.append(str(len(offered) % 10) * step)
                    connection.offer(offered[-1])
                    waiting = [len(frame) for frame in connection._outbox if frame]
                    assert sum(waiting) <= LIMIT or len(waiting) == 1
        assert browser.taken == offered[: len(browser.taken)]

    asyncio.run(run())


async def test_a_browser_that_takes_nothing_is_cut_off_as_stalled() -> None:
    connection, browser = connect(stall_seconds=SOON), Browser()
    browser.willing.clear()
    async with writing(connection, browser):
        connection.offer("one")
        connection.offer("two")
        assert await connection.cut_off == "stalled"
        browser.willing.set()
        await turns()
    assert browser.taken == []
    assert kept(connection) == 0


async def test_a_browser_that_takes_a_little_is_not_stalled() -> None:
    connection, browser = connect(stall_seconds=NEVER), Browser()
    browser.willing.clear()
    async with writing(connection, browser):
        connection.offer("one")
        await turns()
        browser.willing.set()
        await connection.drained()
    assert not connection.cut_off.done()


async def test_nothing_is_sent_after_the_cut() -> None:
    connection, browser = connect(), Browser()
    async with writing(connection, browser):
        await turns()
        connection.offer("dropped")
        connection.cut("outbox")
        connection.offer("too late")
        await turns()
    assert browser.taken == []


async def test_a_cut_in_the_middle_of_a_frame_drops_the_rest() -> None:
    connection, browser = connect(), Browser()
    browser.willing.clear()
    async with writing(connection, browser):
        connection.offer("one")
        connection.offer("two")
        await turns()
        connection.cut("outbox")
        browser.willing.set()
        await turns()
    assert browser.taken == ["one"]


async def test_a_cut_leaves_nothing_in_memory() -> None:
    connection = connect()
    for _ in range(5):
        connection.offer("xx")
    connection.cut("outbox")
    for _ in range(1_000):
        connection.offer("x" * LIMIT)
    assert kept(connection) == 0


async def test_the_first_reason_for_a_cut_is_the_one_that_counts() -> None:
    connection = connect()
    connection.cut("outbox")
    connection.cut("stalled")
    assert connection.cut_off.result() == "outbox"


async def test_an_empty_outbox_is_drained() -> None:
    await connect().drained()


async def test_who_waits_for_the_outbox_goes_on_when_the_last_frame_is_taken() -> None:
    connection, browser = connect(), Browser()
    browser.willing.clear()
    async with writing(connection, browser):
        connection.offer("one")
        connection.offer("two")
        waiting = asyncio.create_task(connection.drained())
        await turns()
        assert not waiting.done()
        browser.willing.set()
        await waiting
        assert browser.taken == ["one", "two"]


@pytest.mark.parametrize("cut", [lambda c: c.cut("x"), lambda c: c.offer("x" * 2 * LIMIT)], ids=["cut", "outbox"])
async def test_who_waits_for_the_outbox_goes_on_after_a_cut(cut: Callable[[Connection], None]) -> None:
    connection = connect()
    connection.offer("hello")
    waiting = asyncio.create_task(connection.drained())
    await turns()
    assert not waiting.done()
    cut(connection)
    await waiting
    await connection.drained()


async def test_a_stalled_browser_does_not_keep_who_waits_for_it() -> None:
    connection, browser = connect(stall_seconds=SOON), Browser()
    browser.willing.clear()
    async with writing(connection, browser):
        connection.offer("hello")
        await connection.drained()
    assert connection.cut_off.result() == "stalled"


async def test_the_writer_ends_when_it_is_cut_off_while_sending() -> None:
    connection, browser = connect(), Browser()
    browser.willing.clear()
    async with writing(connection, browser) as writer:
        connection.offer("hello")
        await turns()
        connection.cut("outbox")
        browser.willing.set()
        await writer


async def test_the_writer_ends_when_it_is_cut_off_while_there_is_nothing_to_send() -> None:
    connection, browser = connect(), Browser()
    async with writing(connection, browser) as writer:
        await turns()
        connection.cut("unavailable")
        await turns()
        assert writer.done()


async def test_a_send_that_fails_ends_the_writer_and_not_silently() -> None:
    async def broken(frame: str) -> None:
        raise ConnectionResetError(frame)

    connection = connect()
    connection.offer("hello")
    with pytest.raises(ConnectionResetError):
        await connection.write(broken)


def test_close_codes_are_those_of_the_contract() -> None:
    assert {code.name: int(code) for code in CloseCode} == {
        "REFUSED": 1008,
        "TOO_BIG": 1009,
        "RESTART": 1012,
        "OVERLOADED": 1013,
    }


async def test_who_waits_for_a_browser_that_is_gone_is_told() -> None:
    """A browser may leave in the middle of its backlog; whoever sends it must not wait for ever."""
    connection = Connection(None, "UTC", 1000, 8)

    async def gone(_: str) -> None:
        raise ConnectionResetError

    connection.offer("part of a backlog")
    with pytest.raises(ConnectionResetError):
        await connection.write(gone)
    async with asyncio.timeout(1):
        await connection.drained()
    connection.offer("the next part")
    async with asyncio.timeout(1):
        await connection.drained()
