"""G7: who floods is slowed down or turned away, with a word about it, and a neighbour notices nothing.

One server whose limits are low, and for each flood an address of its own: limits hold for addresses apart.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.guarantees.crowd import PATIENCE, Guest, gathered, request, sign_in
from tests.server import Server, serving

LOW = {
    "connections_per_address": 5,
    "frames_burst": 50,
    "frames_per_second": 25,
    "bytes_burst": 100_000,
    "bytes_per_second": 100_000,
    "messages_burst": 100,
    "address_messages_burst": 5,
    "address_messages_per_second": 0.1,
    "creations_burst": 5,
    "resumes_burst": 5,
    "resumes_per_second": 1,
    "reads_burst": 12,
    "reads_per_second": 0.1,
    "pending_requests_per_address": 5,
    "request_seconds": 2,
}
addresses = (f"127.0.{number // 200}.{number % 200 + 10}" for number in count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("flooded"), **LOW) as server:
        yield server
        assert not [line for line in server.log if "level='info'" not in line]


@pytest.fixture
def flooder() -> str:
    """The address of one who floods."""
    return next(addresses)


@pytest.fixture
async def neighbours(server: Server) -> AsyncIterator[None]:
    """Two who talk during a test and after it: each message arrives, in order, and nobody tells them anything."""
    homes = [next(addresses) for _ in range(2)]
    cookie = await sign_in(server.host, f"Neighbour {homes[0]}", homes[0])
    texts = [f"{number} from {homes[0]}" for number in range(4)]
    ann, bob = Guest(server.host, cookie=cookie, address=homes[0]), Guest(server.host, address=homes[1])

    async def talk(texts: list[str]) -> None:
        for text in texts:
            await ann.receipt(await ann.say(text))

    async with gathered([ann, bob]):
        talking = asyncio.create_task(talk(texts[:3]))
        yield
        await talking
        await talk(texts[3:])
        await bob.until(lambda: texts[-1] in bob.shown.values(), texts[-1])
        assert [text for text in bob.shown.values() if text in texts] == texts
        for guest in (ann, bob):
            assert not guest.wrong and not guest.closings and not guest.notices, guest


async def figure(server: Server, reason: str) -> float:
    """Return how often something was refused for this reason."""
    answer = await request(server.host, "GET", "/metrics")
    found = re.search(rf'^parlor_refused_total{{reason="{reason}"}} (.*)$', answer, re.MULTILINE)
    return float(found[1]) if found else 0


@asynccontextmanager
async def socket(server: Server, address: str, cookie: str = "") -> AsyncIterator[ClientConnection]:
    headers = {"Cookie": f"parlor_member={cookie}"} if cookie else {}
    async with connect(
        f"ws://{server.host}/ws", local_addr=(address, 0), additional_headers=headers, max_size=None, close_timeout=1
    ) as opened:
        yield opened


async def hear(listening: ClientConnection, words: str) -> str:
    """Return the next frame with these words in it."""
    async with asyncio.timeout(PATIENCE):
        while words not in (frame := str(await listening.recv())):
            pass
    return frame


def refused(answer: str, status: int) -> bool:
    """Whether an answer has this status, and says when to come again."""
    return answer.startswith(f"HTTP/1.1 {status} ") and "retry-after: " in answer.lower()


@pytest.mark.breaks("app/web/sockets.py", "elif not self._open.acquire(address):", "elif False:")
async def test_windows_without_end(server: Server, flooder: str, neighbours: None) -> None:
    async with AsyncExitStack() as stack:
        windows = [await stack.enter_async_context(socket(server, flooder)) for _ in range(20)]
        for window in windows[5:]:
            await hear(window, "Too many windows are open from your address")
            with pytest.raises(ConnectionClosed):
                await window.recv()
            assert window.close_code == 1013
        for window in windows[:5]:
            await window.send('{"cursor": ""}')
            await hear(window, 'data-state="connected"')
    assert await figure(server, "connections") >= 15


@pytest.mark.breaks("app/web/sockets.py", "max(0, len(frame.drafts) - 1)", "0")
async def test_drafts_without_end_in_a_few_frames(server: Server, flooder: str, neighbours: None) -> None:
    """Each draft is as much work as a frame, above all its receipt."""
    many = json.dumps({"message": ["x"] * 1000, "key": [f"k{number}" for number in range(1000)]})
    async with socket(server, flooder) as flood:
        for _ in range(2):
            await flood.send(many)
        await hear(flood, "one message at a time")


@pytest.mark.breaks("app/chat/limits.py", "bucket.charge(now, frames)", "pass")
async def test_frames_without_a_pause(server: Server, flooder: str, neighbours: None) -> None:
    before = await figure(server, "paced")
    async with socket(server, flooder) as flood:
        for _ in range(100):
            await flood.send("nonsense")
        # All the same, each is read and answered.
        frames: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while sum("could not read this" in frame for frame in frames) < 100:
                frames.append(str(await flood.recv()))
    assert any("one message at a time" in frame for frame in frames)
    assert await figure(server, "paced") > before


@pytest.mark.breaks("app/chat/limits.py", "bucket.charge(now, octets)", "pass")
async def test_bytes_without_a_pause(server: Server, flooder: str, neighbours: None) -> None:
    async with socket(server, flooder) as flood:
        for _ in range(3):
            await flood.send("x" * 90_000)
        await hear(flood, "one message at a time")


async def test_a_frame_that_is_too_long(server: Server, flooder: str, neighbours: None) -> None:
    async with socket(server, flooder) as flood:
        await flood.send("x" * 400_001)
        await hear(flood, "This frame is too large")
    async with socket(server, flooder) as flood:
        with suppress(ConnectionClosed):
            await flood.send("x" * 1_600_001)
            while True:
                await flood.recv()
        assert flood.close_code == 1009
    assert await figure(server, "frame-too-large") >= 1
    assert await figure(server, "frame-too-big") >= 1


@pytest.mark.breaks("app/rooms/limiting.py", "wait = self._limits.address_messages.take(address, now)", "wait = 0.0")
async def test_a_crowd_of_writers_at_one_address(server: Server, flooder: str, neighbours: None) -> None:
    cookies = [await sign_in(server.host, f"Writer {number}", flooder) for number in range(3)]
    async with gathered([Guest(server.host, cookie=cookie, address=flooder) for cookie in cookies]) as crowd:
        for guest in crowd:
            for number in range(3):
                await guest.say(f"flood {number}")
        for guest in crowd:
            await guest.until(lambda guest=guest: guest.notices or not guest.drafts, "an answer")
        assert sum(len(guest.receipts) for guest in crowd) <= 6
        assert any("your address" in notice for guest in crowd for notice in guest.notices)
    answer = await request(server.host, "POST", "/rooms/lobby/messages", {"message": "x"}, cookies[0], flooder)
    assert refused(answer, 429)
    assert await figure(server, "too-fast-address") >= 3


@pytest.mark.breaks(
    "app/rooms/limiting.py", "self._limits.address_messages.refund(address)\n            raise", "raise"
)
@pytest.mark.breaks(
    "app/rooms/limiting.py", "wait = self._limits.characters.take(address, now, len(body))", "wait = 0.0"
)
async def test_long_messages_without_end(server: Server, flooder: str, neighbours: None) -> None:
    cookie = await sign_in(server.host, f"Author {flooder}", flooder)
    async with gathered([Guest(server.host, cookie=cookie, address=flooder)]) as (author,):
        for letter in "abcd":
            await author.say(letter * 300)
        await author.until(lambda: author.notices, "an answer")
        assert len(author.receipts) == 1
        assert any("your address" in notice for notice in author.notices)
        for digit in "1234":
            await author.say(digit)
        await author.until(lambda: len(author.receipts) == 5, "receipts of short ones: what was refused does not count")


@pytest.mark.breaks("app/rooms/limiting.py", "wait = self._limits.creations.take(address, self._now())", "wait = 0.0")
async def test_names_and_rooms_without_end(server: Server, flooder: str, neighbours: None) -> None:
    cookie = await sign_in(server.host, f"Founder {flooder}", flooder)
    rooms = [
        await request(server.host, "POST", "/rooms", {"name": f"Room {n} of {flooder}"}, cookie, flooder)
        for n in range(5)
    ]
    assert [answer.startswith("HTTP/1.1 303 ") for answer in rooms] == [True] * 4 + [False]
    assert refused(rooms[-1], 429)
    assert refused(await request(server.host, "POST", "/name", {"name": "One more"}, address=flooder), 429)
    assert await figure(server, "too-many") >= 2


@pytest.mark.breaks("app/web/sockets.py", "lambda now: resumes.take(address, now)", "lambda now: 0.0")
async def test_resumes_with_absurd_cursors(server: Server, flooder: str, neighbours: None) -> None:
    absurd = ["", "x:0", f"x:{2**63 - 1}", f"x:{2**63}", ":::", "-1", "x:-1", f"{'x' * 9_000}:1", "x:1e9", "\0:7"]
    async with socket(server, flooder) as flood:
        for cursor in absurd * 2:
            await flood.send(json.dumps({"cursor": cursor}))
        await hear(flood, "one message at a time")
        await flood.send('{"cursor": ""}')
        await hear(flood, 'data-state="connected"')


@pytest.mark.breaks("app/web/sockets.py", "if await self._wait_for_turn(socket, transport, address):", "if True:")
async def test_sockets_that_come_and_go_without_end(server: Server, flooder: str, neighbours: None) -> None:
    before = await figure(server, "paced")
    for _ in range(8):
        async with socket(server, flooder) as window:
            await window.send('{"cursor": ""}')
            await hear(window, 'data-state="connected"')
    assert await figure(server, "paced") > before


@pytest.mark.breaks("app/web/posts.py", "HTMLResponse, dependencies=[counted])", "HTMLResponse)")
async def test_forms_that_are_refused_without_end(server: Server, flooder: str, neighbours: None) -> None:
    answers = [await request(server.host, "POST", "/name", {"name": " "}, address=flooder) for _ in range(14)]
    assert [answer.startswith("HTTP/1.1 422 ") for answer in answers[:12]] == [True] * 12
    assert refused(answers[-1], 429)


@pytest.mark.breaks("app/web/security.py", "wait = limits.reads.take(address_of(request), monotonic())", "wait = 0.0")
async def test_history_read_without_end(server: Server, flooder: str, neighbours: None) -> None:
    paths = ["/", "/rooms/lobby?before=9", f"/rooms/lobby/messages?before={2**63 - 1}", "/rooms/lobby/gap?between=0-99"]
    answers = [await request(server.host, "GET", path, address=flooder) for path in paths * 4]
    assert all(answer.startswith("HTTP/1.1 200 ") for answer in answers[:12])
    assert all(refused(answer, 429) for answer in answers[13:])
    assert "Wait a moment" in answers[-1]
    assert await figure(server, "reads") >= 2
    # What is no page is not counted: the site's files, and what operators ask.
    assert (await request(server.host, "GET", "/healthz", address=flooder)).startswith("HTTP/1.1 200 ")


@pytest.mark.breaks(
    "app/operations/serving.py", '"forwarded_allow_ips": settings.trusted_proxies', '"forwarded_allow_ips": "*"'
)
async def test_an_address_cannot_be_made_up(server: Server, flooder: str, neighbours: None) -> None:
    """What a proxy forwards is believed of those that are trusted; from anybody else it changes nothing."""
    for number in range(15):
        claims = [f"X-Forwarded-For: 203.0.113.{number}", "X-Forwarded-Proto: https", "Forwarded: for=203.0.113.9"]
        answer = await request(server.host, "GET", "/", address=flooder, headers=claims)
    assert refused(answer, 429)


@pytest.mark.breaks(
    "app/delivery/http_protocol.py",
    "if self._address is None or self._limits.pending.acquire(self._address):",
    "if True:",
)
async def test_handshakes_that_never_end(server: Server, flooder: str, neighbours: None) -> None:
    """Of many that say half a sentence a few are waited for, and these not for long."""
    name, _, port = server.host.rpartition(":")
    opened = [await asyncio.open_connection(name, int(port), local_addr=(flooder, 0)) for _ in range(20)]
    for _, writer in opened:
        with suppress(OSError):
            writer.write(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n")
    async with asyncio.timeout(PATIENCE):
        answers = [(await reader.read()).decode() for reader, _ in opened]
    for _, writer in opened:
        writer.close()
    assert sum(answer.startswith("HTTP/1.1 429 ") for answer in answers) == 15
    assert sum(answer.startswith("HTTP/1.1 408 ") for answer in answers) == 5
    assert all("Retry-After: " in answer for answer in answers)
    assert await figure(server, "unfinished") >= 15
    assert await figure(server, "late") >= 5
    # When they are gone, one may come again.
    assert (await request(server.host, "GET", "/healthz", address=flooder)).startswith("HTTP/1.1 200 ")


@pytest.mark.breaks("app/delivery/http_protocol.py", "if self._head_bytes > HEAD_BYTES:", "if False:")
async def test_a_head_without_an_end(server: Server, flooder: str, neighbours: None) -> None:
    name, _, port = server.host.rpartition(":")
    reader, writer = await asyncio.open_connection(name, int(port), local_addr=(flooder, 0))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 100_000)
    async with asyncio.timeout(PATIENCE):
        assert refused((await reader.read()).decode(), 431)
    writer.close()
    assert await figure(server, "head-too-large") >= 1


@pytest.mark.breaks("app/main.py", "max_body_size=largest_form(settings.message_length)", "max_body_size=10**9")
async def test_a_body_without_an_end(server: Server, flooder: str, neighbours: None) -> None:
    answer = await request(server.host, "POST", "/name", {"name": "x" * 70_000}, address=flooder)
    assert answer.startswith("HTTP/1.1 413 ")
    assert await figure(server, "body-too-large") >= 1
