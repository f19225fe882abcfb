"""People without browsers: what a page does over its socket, for hundreds of them in one process.

A `Guest` resumes with its cursor, notes what it is shown, keeps what it says until the receipt, and comes back as htmx
does. What would be wrong to see is an error here: a message twice, out of order, or beyond a hole.
"""

import asyncio
import json
import random
import re
import resource
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from html import unescape
from itertools import count
from time import monotonic
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.profile import PROFILE

PATIENCE = 8.0 if PROFILE == "prove" else 60.0  # seconds for what a scenario waits for

MOST_DRAFTS = 50  # in one frame

# What a server allows where hundreds come from one address and say more than people do.
CROWD: dict[str, object] = {
    "messages_per_second": 1_000_000,
    "messages_burst": 1_000_000,
    "frames_per_second": 1_000_000,
    "frames_burst": 1_000_000,
    "creations_per_minute": 1_000_000,
    "creations_burst": 1_000_000,
    "rooms_burst": 1_000_000,
    "rooms_per_day": 10**12,
    "max_rooms": 1_000_000,
    "connections_per_address": 100_000,
    "address_messages_per_second": 1_000_000,
    "address_messages_burst": 1_000_000,
    "bytes_per_second": 1_000_000_000,
    "resumes_per_second": 1_000_000,
    "resumes_burst": 1_000_000,
    "reads_per_second": 1_000_000,
    "reads_burst": 1_000_000,
    "pending_requests_per_address": 100_000,
    "resume_limit": 100_000,  # gaps, which one asks for by hand, are tried elsewhere
}
FILES = 8192  # that may be open at once, in this process and in a server that it starts

MESSAGE = re.compile(
    r'<li id="message-(\d+)"(?:(?!<li id=).)*?<div class="message__body[^"]*" dir="auto">(.*?)</div>', re.DOTALL
)
GAP = re.compile(r'<li id="gap-(\d+)"')
REPLACED = 'hx-swap-oob="innerHTML:#messages"'
CURSOR = re.compile(r'id="cursor"[^>]* value="([^"]*)"|value="([^"]*)"[^>]* id="cursor"')
RECEIPT = re.compile(r"delete target:'#keys > \[value=&quot;([^&]*)&quot;\]'")
NOTICE = re.compile(r'hx-swap-oob="innerHTML:#notice">([^<]*)<')
HTMX_CONFIG = re.compile(r"<meta name=\"htmx-config\" content='([^']*)'")


@dataclass(frozen=True)
class Backoff:
    """How long a page waits before it tries to connect again: seconds, and their jitter as a share."""

    first: float
    longest: float
    jitter: float

    def delay(self, failures: int) -> float:
        """Return the seconds until the next try, as htmx has it."""
        delay = min(self.first * 2.0**failures, self.longest)
        return delay * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311


async def backoff(host: str) -> Backoff:
    """Return what the pages of the server at `host` are told."""
    found = HTMX_CONFIG.search(await request(host, "GET", "/"))
    assert found, "a page without its configuration"
    config = json.loads(unescape(found[1]))["ws"]
    return Backoff(config["reconnectDelay"] / 1000, config["reconnectMaxDelay"] / 1000, config["reconnectJitter"])


@dataclass
class Guest:
    """Somebody in a room at `host` (address and port); `cookie` says who, the empty one nobody."""

    host: str
    room: str = "lobby"
    cookie: str = ""
    backoff: Backoff = Backoff(0.5, 2.3, 0.3)
    address: str | None = None  # of this machine, to come from
    receives: int | None = None  # bytes that its system takes before it reads, as over Ethernet

    cursor: str = ""
    shown: dict[int, str] = field(default_factory=dict)  # texts by position
    shown_at: dict[int, float] = field(default_factory=dict)  # seconds of the monotonic clock, by position
    wrong: list[str] = field(default_factory=list)  # what should never be seen
    gaps: int = 0
    notices: list[str] = field(default_factory=list)
    closings: list[int] = field(default_factory=list)  # close codes, in their order
    resumed_at: list[float] = field(default_factory=list)  # when its page was complete, after each connect
    said: dict[str, str] = field(default_factory=dict)  # every text that it ever said, by key
    drafts: dict[str, str] = field(default_factory=dict)  # those without a receipt
    receipts: dict[str, float] = field(default_factory=dict)  # by key: when it came
    heard_at: float = 0  # when the last frame came
    answered: int = 0  # frames that told what became of what was said
    link: ClientConnection | None = None

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()
        self._coming: asyncio.Task[None] | None = None
        self._failures = 0
        self._deaf: asyncio.Transport | None = None  # not read from
        self._queue: list[str] = []  # frames that htmx keeps while there is no socket

    # Coming and going

    async def come(self) -> "Guest":
        """Open the page, and return when it is complete."""
        known = len(self.resumed_at)
        self._coming = asyncio.create_task(self._stay())
        await self.until(lambda: len(self.resumed_at) > known, "the page to be complete")
        return self

    async def go(self) -> None:
        """Close the page."""
        if self._coming:
            self._coming.cancel()
            await asyncio.wait({self._coming})
            self._coming = None

    async def _stay(self) -> None:
        while True:
            try:
                async with self._connected() as link:
                    self._failures = 0
                    await self._greet(link)
                    self.link = link
                    await self._listen(link)
            except (OSError, InvalidHandshake, TimeoutError):
                pass
            except ConnectionClosed as closed:
                self.closings.append(closed.rcvd.code if closed.rcvd else 1006)
            finally:
                self.link = None
            await asyncio.sleep(self.backoff.delay(self._failures))
            self._failures += 1

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        options: dict[str, Any] = {}
        if self.address:
            options["local_addr"] = (self.address, 0)
        if self.receives:
            options["sock"] = await _narrow_socket(self.host, self.receives)
        headers = {"Cookie": f"parlor_member={self.cookie}"} if self.cookie else {}
        async with connect(
            f"ws://{self.host}/ws/{self.room}",
            origin=f"http://{self.host}",  # type: ignore[arg-type]
            additional_headers=headers,
            compression=None,
            ping_interval=None,
            open_timeout=10,
            close_timeout=1,
            max_size=None,
            **options,
        ) as link:
            yield link

    async def _greet(self, link: ClientConnection) -> None:
        # First what was queued offline, then the resume, and along with it the drafts that wait: all of them twice.
        queue, self._queue = self._queue, []
        for frame in queue:
            await link.send(frame)
        drafts = list(self.drafts.items())
        await link.send(json.dumps({"cursor": self.cursor, **_several(drafts[:MOST_DRAFTS])}))
        for start in range(MOST_DRAFTS, len(drafts), MOST_DRAFTS):
            await link.send(json.dumps(_several(drafts[start : start + MOST_DRAFTS])))

    def stop_reading(self) -> None:
        """Take nothing from the socket that is open."""
        assert self.link
        self.link.transport.pause_reading()
        self._deaf = self.link.transport

    def read_again(self) -> None:
        """Take what there is, and all that comes."""
        assert self._deaf
        if not self._deaf.is_closing():
            self._deaf.resume_reading()

    # Reading

    async def _listen(self, link: ClientConnection) -> None:
        async for frame in link:
            self._take(str(frame))
            async with self._changed:
                self._changed.notify_all()

    def _take(self, frame: str) -> None:
        now = self.heard_at = monotonic()
        if REPLACED in frame:
            self.shown.clear()
        gap = bool(GAP.search(frame))
        self.gaps += gap
        for position, text in MESSAGE.findall(frame):
            self._show(int(position), unescape(text), now, after_gap=gap)
            gap = False
        if 'id="cursor"' in frame and (cursor := CURSOR.search(frame)):
            self.cursor = cursor[1] or cursor[2]
        for key in RECEIPT.findall(frame):
            self.receipts.setdefault(key, now)
            self.drafts.pop(key, None)
        self.answered += "innerHTML:#notice" in frame
        self.notices += [unescape(notice) for notice in NOTICE.findall(frame) if notice]
        if 'id="rooms"' in frame and 'data-state="connected"' in frame:
            self.resumed_at.append(now)

    def _show(self, position: int, text: str, now: float, after_gap: bool) -> None:
        last = next(reversed(self.shown), None)
        if position in self.shown:
            self.wrong.append(f"message {position} twice")
        elif last is not None and position != last + 1 and not after_gap:
            self.wrong.append(f"message {position} after {last}")
        self.shown[position] = text
        self.shown_at[position] = now

    async def until(self, condition: Any, what: str, patience: float = PATIENCE) -> None:
        """Wait until `condition()` holds; it is looked at after each frame. Raises `TimeoutError` that says `what`."""
        try:
            async with asyncio.timeout(patience), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise TimeoutError(f"waited {patience:g} s for {what}: {self}") from None

    def comes_back(self) -> Coroutine[Any, Any, None]:
        """Return what waits until the page has been completed once more than by the time of this call."""
        known = len(self.resumed_at)
        return self.until(lambda: len(self.resumed_at) > known, "the page to be complete again")

    async def reaches(self, position: int, patience: float = PATIENCE) -> None:
        """Wait until everything up to `position` is shown."""
        await self.until(lambda: next(reversed(self.shown), 0) >= position, f"message {position}", patience)

    # Writing

    _keys = count(1)

    async def say(self, text: str, key: str | None = None) -> str:
        """Say `text` once, whatever happens on the way, and return its key. `receipt` waits for the receipt."""
        key = key or f"key-{next(self._keys)}"
        self.said[key] = self.drafts[key] = text
        frame = json.dumps({"message": text, "key": key})
        try:
            if self.link is None:
                self._queue.append(frame)
            else:
                await self.link.send(frame)
        except ConnectionClosed:
            pass  # it is a draft, and goes along with the next resume
        return key

    async def settled(self) -> None:
        """Wait for the receipts of everything that was said."""
        await self.until(lambda: not self.drafts, "its receipts")

    async def receipt(self, key: str, patience: float = PATIENCE) -> None:
        """Wait for the receipt of what was said under `key`."""
        await self.until(lambda: key in self.receipts, f"the receipt of {key}", patience)

    def __str__(self) -> str:
        last = next(reversed(self.shown), 0)
        return f"guest at {last}, {len(self.drafts)} drafts wait, closed by {self.closings}, told {self.notices[-3:]}"


def _several(drafts: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    return {"message": [text for _, text in drafts], "key": [key for key, _ in drafts]} if drafts else {}


async def sign_in(host: str, name: str, address: str | None = None, cookie: str = "") -> str:
    """Become a member called `name` at `host`, or have the one with `cookie` take that name; return the cookie."""
    answer = await request(host, "POST", "/name", {"name": name}, cookie, address)
    found = re.search(r"set-cookie: parlor_member=([^;]+)", answer, re.IGNORECASE)
    if not found:
        raise RuntimeError(f"no cookie for {name}: {answer[:200]}")
    return found[1]


async def request(
    host: str,
    method: str,
    path: str,
    form: dict[str, str] | None = None,
    cookie: str = "",
    address: str | None = None,
    headers: Sequence[str] = (),
) -> str:
    """Send one HTTP request and return the whole answer, with its head."""
    name, _, port = host.rpartition(":")
    body = urlencode(form or {})
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        *([f"Cookie: parlor_member={cookie}"] if cookie else []),
        *headers,
    ]
    reader, writer = await asyncio.open_connection(name, int(port), local_addr=(address, 0) if address else None)
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        rest = await reader.readexactly(int(length[1])) if length else b""
        return (head + rest).decode("utf-8", "replace")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def figures(host: str) -> dict[str, float]:
    """Return what /metrics says, by name and labels as they stand there."""
    _, _, text = (await request(host, "GET", "/metrics")).partition("\r\n\r\n")
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines if name}


async def _narrow_socket(host: str, receives: int) -> socket.socket:
    """Return a socket connected to `host` for which neither system keeps more than a real network would."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    # On the loopback, segments of 64 kB have the sender's system keep 4 MB for one socket.
    narrow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
    narrow.setblocking(False)
    name, _, port = host.rpartition(":")
    try:
        await asyncio.get_running_loop().sock_connect(narrow, (name, int(port)))
    except OSError:
        narrow.close()
        raise
    return narrow


async def members(host: str, names: Iterable[str]) -> list[Guest]:
    """Return a guest for each of `names`, who has that name at `host`."""
    pace = await backoff(host)
    return [Guest(host, cookie=await sign_in(host, name), backoff=pace) for name in names]


@asynccontextmanager
async def gathered(guests: Sequence[Guest]) -> AsyncIterator[Sequence[Guest]]:
    """Have all `guests` come; in the end they go."""
    try:
        await asyncio.gather(*(guest.come() for guest in guests))
        yield guests
    finally:
        await asyncio.gather(*(guest.go() for guest in guests))


@asynccontextmanager
async def talking(writers: Sequence[Guest], pause: float) -> AsyncIterator[None]:
    """Have each of `writers` say one unique text after the other, waiting for the receipt and then `pause` seconds."""

    async def talk(number: int, writer: Guest) -> None:
        for turn in count(1):
            await writer.receipt(await writer.say(f"{turn} of writer {number}"))
            await asyncio.sleep(pause)

    tasks = [asyncio.create_task(talk(number, writer)) for number, writer in enumerate(writers)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        assert task.cancelled(), task.exception()


def allow_many_files() -> None:
    """Let this process, and the servers it starts, have as many sockets as a crowd needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
