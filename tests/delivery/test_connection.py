"""One browser: its outbox, its limit, how it is cut off. With a direct transport, and over ASGI."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.connection import LOOKS, CloseCode, Connection
from app.delivery.encoding import Data, Encoding, Frame
from app.delivery.transport import AsgiTransport, FlowListener, Transport
from tests.cast import ANN

LIMIT = 10
SOON = 0.01  # for what must end by itself; nothing is measured against it
NEVER = 3600.0


class Browser:
    """Takes frames while it is `willing`, the way of ASGI."""

    def __init__(self) -> None:
        self.taken: list[Data] = []
        self._willing = asyncio.Event()
        self._willing.set()
        self._asgi = AsgiTransport(self._send)

    @property
    def transport(self) -> Transport:
        return self._asgi

    def be_willing(self, willing: bool = True) -> None:
        (self._willing.set if willing else self._willing.clear)()

    async def _send(self, frame: str) -> None:
        await self._willing.wait()
        self.taken.append(frame)

    @asynccontextmanager
    async def there(self) -> AsyncIterator[None]:
        writing = asyncio.create_task(self._asgi.run())
        try:
            yield
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing


class Direct(Browser):
    """Its transport takes what it is given, and says when it is too much."""

    encoding = Encoding.TEXT  # read more easily than bytes; a transport does not look at them

    def __init__(self) -> None:
        super().__init__()
        self._reader: FlowListener | None = None
        self._buffer: list[Data] = []

    @property
    def transport(self) -> Transport:
        return self

    @property
    def unsent(self) -> int:
        return sum(map(len, self._buffer))

    def attach(self, reader: FlowListener) -> None:
        self._reader = reader

    def write(self, data: Data) -> None:
        self._buffer.append(data)
        if self._willing.is_set():
            self._flush()
        elif self._reader:
            self._reader.pause()

    def be_willing(self, willing: bool = True) -> None:
        super().be_willing(willing)
        if willing and self._reader:
            self._flush()
            self._reader.resume()

    def _flush(self) -> None:
        self.taken += self._buffer
        self._buffer.clear()

    @asynccontextmanager
    async def there(self) -> AsyncIterator[None]:
        yield


BOTH_WAYS = pytest.mark.parametrize("kind", [Browser, Direct])


def connect(browser: Browser | None = None, stall_seconds: float = NEVER, limit: int = LIMIT) -> Connection:
    return Connection(ANN, ANN.time_zone, (browser or Browser()).transport, limit, stall_seconds)


def stalled(kind: type[Browser] = Browser) -> Browser:
    browser = kind()
    browser.be_willing(False)
    return browser


async def turns(number: int = 20) -> None:
    """Let everything happen that can happen now."""
    for _ in range(number):
        await asyncio.sleep(0)


def kept(connection: Connection) -> int:
    """Return how much memory waits for a browser, in frames."""
    return len(connection._outbox)


@BOTH_WAYS
async def test_frames_arrive_in_the_order_in_which_they_were_offered(kind: type[Browser]) -> None:
    browser = kind()
    connection = connect(browser, limit=1_000)
    frames = [f"frame {number}" for number in range(20)]
    async with browser.there():
        for frame in frames[:10]:
            connection.offer(frame)
        await connection.drained()
        for frame in frames[10:]:
            connection.offer(frame)
            await turns(1)
        await connection.drained()
    assert browser.taken == frames


async def test_frames_offered_before_the_writer_starts_are_sent() -> None:
    browser = Browser()
    connection = connect(browser)
    connection.offer("early")
    async with browser.there():
        await connection.drained()
    assert browser.taken == ["early"]


def test_offering_is_a_plain_function() -> None:
    assert not inspect.iscoroutinefunction(Connection.offer)


async def test_encoded_frames_are_written_directly_while_the_transport_accepts() -> None:
    """Nobody of a thousand is asked, for each message, whether they do."""
    browser = Direct()
    connection = connect(browser, limit=1_000)
    assert connection.push == browser.transport.write
    browser.be_willing(False)
    connection.push("in the hands of the transport")
    connection.push("kept")
    assert kept(connection) == 1
    browser.be_willing()
    assert browser.taken == ["in the hands of the transport", "kept"]
    assert connection.push == browser.transport.write
    connection.end()
    connection.push("too late")
    assert len(browser.taken) == 2


async def test_a_frame_for_several_is_offered_as_this_browser_takes_it() -> None:
    browser = Direct()
    connect(browser).offer(Frame("hello"))
    assert browser.taken == ["hello"]


@BOTH_WAYS
async def test_unsent_frames_wait_in_the_outbox(kind: type[Browser]) -> None:
    browser = stalled(kind)
    connection = connect(browser)
    async with browser.there():
        connection.offer("hello")
        connection.offer("Ann")
        await turns()
        assert browser.taken == []
        browser.be_willing()
        await connection.drained()
        assert browser.taken == ["hello", "Ann"]


async def test_a_connection_under_back_pressure_starts_paused() -> None:
    class Full(Direct):
        def attach(self, reader: FlowListener) -> None:
            super().attach(reader)
            reader.pause()

    browser = Full()
    connect(browser).offer("hello")
    assert browser.taken == []
    browser.be_willing()
    assert browser.taken == ["hello"]


@BOTH_WAYS
async def test_an_outbox_may_be_full_to_its_limit_and_no_further(kind: type[Browser]) -> None:
    connection = connect(stalled(kind))
    connection.offer("x" * (LIMIT - 1))
    connection.offer("y")
    before = connection.cut_off
    connection.offer("z")
    assert (before, connection.cut_off) == ("", "outbox")


@BOTH_WAYS
@pytest.mark.breaks(
    "app/delivery/connection.py", "waiting = self._waiting + self._transport.unsent", "waiting = self._waiting"
)
async def test_a_frame_counts_while_it_is_being_sent(kind: type[Browser]) -> None:
    browser = stalled(kind)
    connection = connect(browser)
    async with browser.there():
        connection.offer("x" * LIMIT)
        await turns()
        assert kept(connection) == 0
        connection.offer("y")
        assert connection.cut_off == "outbox"


@BOTH_WAYS
async def test_a_frame_that_was_taken_counts_no_longer(kind: type[Browser]) -> None:
    browser = kind()
    connection = connect(browser)
    async with browser.there():
        for _ in range(10):
            connection.offer("x" * LIMIT)
            await connection.drained()
    assert not connection.cut_off
    assert len(browser.taken) == 10


@BOTH_WAYS
async def test_a_browser_that_waits_for_nothing_is_given_a_frame_of_any_size(kind: type[Browser]) -> None:
    # Cut off for it, it would come back, ask for the same frame, and be cut off for ever.
    browser = kind()
    connection = connect(browser)
    async with browser.there():
        connection.offer("x" * 100 * LIMIT)
        await connection.drained()
        connection.offer("y" * 100 * LIMIT)
        await connection.drained()
    assert not connection.cut_off
    assert len(browser.taken) == 2


@given(
    steps=st.lists(st.one_of(st.integers(1, 2 * LIMIT), st.booleans()), max_size=30),
    kind=st.sampled_from([Browser, Direct]),
)
def test_the_outbox_is_bounded_whatever_is_offered(steps: list[int | bool], kind: type[Browser]) -> None:
    """Each step offers a frame of so many characters, or the browser takes what there is, or nothing any more."""

    async def run() -> None:
        browser = kind()
        connection = connect(browser)
        offered: list[Data] = []
        async with browser.there():
            for step in steps:
                if isinstance(step, bool):
                    browser.be_willing(step)
                    await turns(100)
                    assert connection.cut_off or not step or browser.taken == offered
                else:
                    frame = str(len(offered) % 10) * step
                    offered.append(frame)
                    connection.offer(frame)
                    waiting = browser.transport.unsent + sum(map(len, connection._outbox))
                    assert waiting <= max(LIMIT, browser.transport.unsent)
        assert browser.taken == offered[: len(browser.taken)]

    asyncio.run(run())


@BOTH_WAYS
async def test_a_browser_that_takes_nothing_is_cut_off_as_stalled(kind: type[Browser]) -> None:
    browser = stalled(kind)
    connection = connect(browser, stall_seconds=SOON)
    async with browser.there():
        connection.offer("one")
        connection.offer("two")
        await connection.drained()
    assert connection.cut_off == "stalled"
    assert browser.taken == []
    assert kept(connection) == 0


@BOTH_WAYS
@pytest.mark.breaks("app/delivery/connection.py", "self._stalling.cancel()", "pass")
async def test_a_browser_that_takes_a_little_is_not_stalled(kind: type[Browser]) -> None:
    browser = stalled(kind)
    connection = connect(browser, stall_seconds=SOON)
    async with browser.there():
        connection.offer("one")
        browser.be_willing()
        await connection.drained()
        await asyncio.sleep(2 * SOON)
    assert not connection.cut_off


class Slow(Direct):
    """Takes a character each time that somebody looks, until there are `left` of them."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.be_willing(False)
        self.left = left
        self.looks = 0

    @property
    def unsent(self) -> int:
        self.looks += 1
        return max(self.left, 100 - self.looks)


@pytest.mark.breaks("app/delivery/connection.py", "if self._transport.unsent < unsent:", "if False:")
async def test_a_browser_that_is_slow_is_given_time_as_long_as_it_takes_something() -> None:
    browser = Slow(left=50)
    connection = connect(browser, stall_seconds=SOON)
    connection.offer("one")
    await connection.drained()
    assert connection.cut_off == "stalled"
    assert browser.looks >= 50 + LOOKS


@BOTH_WAYS
async def test_nothing_is_sent_after_the_cut(kind: type[Browser]) -> None:
    browser = stalled(kind)
    connection = connect(browser)
    async with browser.there():
        connection.offer("one")
        connection.offer("dropped")
        connection.cut("outbox")
        connection.offer("too late")
        browser.be_willing()
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
    assert connection.cut_off == "outbox"


# What a cut stops


async def test_a_cut_cancels_work_for_the_browser() -> None:
    connection = connect()
    done = []
    async with connection.until_cut_off():
        connection.cut("stalled")
        await asyncio.Event().wait()
        done.append("more")
    assert not done


async def test_a_connection_that_was_cut_off_is_not_served() -> None:
    connection = connect()
    connection.cut("stalled")
    async with connection.until_cut_off():
        await asyncio.Event().wait()


async def test_a_cut_after_the_end_stops_nobody_else() -> None:
    connection = connect()
    async with connection.until_cut_off():
        pass
    connection.cut("stalled")
    await turns()


async def test_a_time_limit_of_something_else_is_no_cut() -> None:
    with pytest.raises(TimeoutError):
        async with connect().until_cut_off():
            raise TimeoutError


# Waiting for it


async def test_an_empty_outbox_is_drained() -> None:
    await connect().drained()


@BOTH_WAYS
async def test_waiting_for_the_outbox_ends_with_the_last_frame(kind: type[Browser]) -> None:
    browser = stalled(kind)
    connection = connect(browser)
    async with browser.there():
        connection.offer("one")
        connection.offer("two")
        waiting = [asyncio.create_task(connection.drained()) for _ in range(2)]
        await turns()
        assert not any(task.done() for task in waiting)
        browser.be_willing()
        await asyncio.gather(*waiting)
        assert browser.taken == ["one", "two"]


@pytest.mark.parametrize("cut", [lambda c: c.cut("x"), lambda c: c.offer("x" * 2 * LIMIT)], ids=["cut", "outbox"])
async def test_waiting_for_the_outbox_ends_after_a_cut(cut: Callable[[Connection], None]) -> None:
    connection = connect()
    connection.offer("hello")
    waiting = asyncio.create_task(connection.drained())
    await turns()
    assert not waiting.done()
    cut(connection)
    await waiting
    await connection.drained()


async def test_a_cancelled_caller_leaves_the_read_to_others() -> None:
    connection = connect()
    connection.offer("hello")
    one, other = (asyncio.create_task(connection.drained()) for _ in range(2))
    await turns()
    one.cancel()
    await turns()
    assert not other.done()
    connection.end()
    await other


async def test_waiting_for_a_departed_browser_ends() -> None:
    """A browser may leave in the middle of its backlog; whoever sends it must not wait for ever."""

    async def gone(_: str) -> None:
        raise ConnectionResetError

    transport = AsgiTransport(gone)
    connection = Connection(None, "UTC", transport, 1000, 8)
    connection.offer("part of a backlog")
    with pytest.raises(ConnectionResetError):
        await transport.run()
    async with asyncio.timeout(1):
        await connection.drained()
    connection.offer("the next part")
    async with asyncio.timeout(1):
        await connection.drained()


def test_close_codes_are_those_of_the_contract() -> None:
    assert {code.name: int(code) for code in CloseCode} == {
        "REFUSED": 1008,
        "TOO_BIG": 1009,
        "RESTART": 1012,
        "OVERLOADED": 1013,
    }
