"""Whatever comes: frames, bytes and requests that nobody who means well would send, by the thousands.

`fuzz_frames` and `fuzz_requests` send them to a running server, and say what they found. The same seed sends the same.
Meanwhile a neighbour listens, who has to notice nothing.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.rooms.reading import NEWEST
from tests.guarantees.outcome import Outcome, first
from tests.hostile import BODIES, CURSORS, GAPS, HOSTS, NAMES, ORIGINS, POSITIONS, SLUGS, TIME_ZONES
from tests.server import Server, serving

# So that everything is really read: what the limits are for has tests of its own.
SETTINGS = {
    "frames_per_second": 1e9,
    "frames_burst": 10**9,
    "messages_per_second": 1e9,
    "messages_burst": 10**9,
    "creations_per_minute": 1e9,
    "creations_burst": 10**9,
    "rooms_burst": 10**9,
    "max_rooms": 10**9,
    "connections_per_address": 10**6,
    "address_messages_per_second": 1e9,
    "address_messages_burst": 10**9,
    "bytes_per_second": 1e12,
    "bytes_burst": 10**12,
    "resumes_per_second": 1e9,
    "resumes_burst": 10**9,
    "reads_per_second": 1e9,
    "reads_burst": 10**9,
    "pending_requests_per_address": 10**6,
    "outbox_length": 10**9,
    "presence_grace": 0,
}
SOCKETS = 24  # at once, and as many clients of HTTP
PATIENCE = 30.0  # seconds for what should be there at once, on a busy machine
END_SECONDS = 120.0  # until a socket has been read to its end, of which many end together
ANSWER_SECONDS = 0.2  # for an answer to what may get none
SHORT_BODIES = [text for text in BODIES if len(text) < 500]


@dataclass
class Result:
    """What came of it: how much was sent, in how many seconds, and what was wrong."""

    sent: int = 0
    seconds: float = 0
    failures: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)  # by status or close code
    descriptors: tuple[int, int] = (0, 0)  # that the server had open before and after
    kilobytes: tuple[int, int] = (0, 0)  # that it held in memory

    def count(self, answer: object) -> None:
        self.answers[str(answer)] = self.answers.get(str(answer), 0) + 1

    def __str__(self) -> str:
        answers = ", ".join(f"{answer}: {count}" for answer, count in sorted(self.answers.items()))
        return (
            f"{self.sent:,} in {self.seconds:.1f} s; descriptors {self.descriptors[0]} -> {self.descriptors[1]}, "
            f"memory {self.kilobytes[0]:,} -> {self.kilobytes[1]:,} kB; {answers}; {len(self.failures)} failures"
        )


async def frames(data: Path, count: int = 200_000, seed: int = 1) -> Outcome:
    """Send `count` frames to a server of their own."""
    return await _tried(data, fuzz_frames, count, seed)


async def requests(data: Path, count: int = 50_000, seed: int = 1) -> Outcome:
    """Send `count` requests to a server of their own."""
    return await _tried(data, fuzz_requests, count, seed)


async def _tried(data: Path, fuzz: Callable[[Server, int, int], Awaitable[Result]], count: int, seed: int) -> Outcome:
    with serving(data, **SETTINGS) as server:
        result = await fuzz(server, count, seed)
    return Outcome(str(result), first(result.failures))


async def fuzz_frames(server: Server, count: int, seed: int) -> Result:
    """Send `count` frames: half of them almost well-formed, the rest text, bytes, and what is no frame at all."""
    result = Result()
    cookie = await _become_member(server, "Fuzz")
    async with _examined(server, result), _neighbour(server, result):
        shares = [count // 2, count * 3 // 8, count - count // 2 - count * 3 // 8]
        senders = (_send_structured, _send_unstructured, _send_below)
        await asyncio.gather(
            *(
                send(server, cookie, _random(seed, kind, number), _share(share, number), result)
                for kind, (send, share) in enumerate(zip(senders, shares, strict=True))
                for number in range(SOCKETS)
            )
        )
    return result


async def fuzz_requests(server: Server, count: int, seed: int) -> Result:
    """Send `count` requests: most of them whole, some broken."""
    result = Result()
    cookie = await _become_member(server, "Fuzz")
    async with _examined(server, result), _neighbour(server, result):
        await asyncio.gather(
            *(
                _request(server, cookie, _random(seed, number), _share(count, number), result)
                for number in range(SOCKETS)
            )
        )
    return result


def _share(count: int, number: int) -> int:
    """Return how many of `count` the client with this number sends."""
    return count // SOCKETS + (number < count % SOCKETS)


def _random(*words: object) -> Random:
    return Random(" ".join(map(str, words)))  # noqa: S311 -- the same in every run is the point


async def _until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, or no longer than patience lasts."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 -- what another process does sets no event here
                await asyncio.sleep(0.02)


# The server, before and after


@asynccontextmanager
async def _examined(server: Server, result: Result) -> Any:
    """Note what the server has open and in memory, before and after, and what it complains about."""
    complaints, started = len(server.complaints), perf_counter()
    descriptors, kilobytes = _descriptors(server), _memory(server)
    yield
    result.seconds = perf_counter() - started
    if not server.running:
        result.failures.append("the server is gone")
        return
    await _status(server, b"GET /healthz HTTP/1.1\r\nHost: " + server.host.encode() + b"\r\n\r\n", result)
    await _until(lambda: _descriptors(server) <= descriptors)
    result.descriptors = descriptors, _descriptors(server)
    result.kilobytes = kilobytes, _memory(server)
    if result.descriptors[1] > descriptors:
        result.failures.append(f"descriptors are left open: {result.descriptors}")
    result.failures += server.complaints[complaints:][:20]


def _process(server: Server) -> Path:
    assert server._process
    return Path(f"/proc/{server._process.pid}")


def _descriptors(server: Server) -> int:
    """Return how many files and sockets the server has open; those of the database's pool come and go."""
    count = 0
    for descriptor in (_process(server) / "fd").iterdir():
        with suppress(FileNotFoundError):
            count += ".db" not in descriptor.readlink().name
    return count


def _memory(server: Server) -> int:
    (found,) = re.findall(r"VmRSS:\s+(\d+) kB", (_process(server) / "status").read_text())
    return int(found)


# The neighbour


async def _become_member(server: Server, name: str) -> str:
    """Take a name, and return the cookie that proves it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    form = f"name={name}"
    writer.write(
        f"POST /name HTTP/1.1\r\nHost: {server.host}\r\nConnection: close\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n{form}".encode()
    )
    answer = (await reader.read()).decode()
    writer.close()
    found = re.search(r"set-cookie: (parlor_member=[^;]+)", answer, re.I)
    assert found, answer[:500]
    return found[1]


@asynccontextmanager
async def _neighbour(server: Server, result: Result) -> Any:
    """Say something all along, and listen to it on another socket: everything arrives once, in its order."""
    cookie = {"Cookie": await _become_member(server, "Neighbour")}
    said, heard = 0, list[int]()
    address = f"ws://{server.host}/ws/lobby"
    async with connect(address, additional_headers=cookie) as mouth, connect(address, max_size=None) as ear:
        await ear.send('{"cursor": ""}')
        while "data-state" not in str(await ear.recv()):
            pass

        async def say() -> None:
            nonlocal said
            while True:
                said += 1
                await mouth.send(json.dumps({"message": f"neighbour {said}.", "key": f"n{said}"}))
                await mouth.recv()  # the receipt: it never resumed, so it gets nothing else
                await asyncio.sleep(0.02)

        async def hear() -> None:
            async for frame in ear:
                new = "".join(re.findall("<ol.*</ol>", str(frame), re.DOTALL))  # others react to what is there
                heard.extend(map(int, re.findall(r">neighbour (\d+)\.</div>", new)))

        saying, hearing = asyncio.create_task(say()), asyncio.create_task(hear())
        yield
        saying.cancel()
        await _until(lambda: len(heard) >= said or hearing.done())
        hearing.cancel()
    if heard != list(range(1, said + 1)):
        result.failures.append(f"the neighbour heard {len(heard)} of {said}, or in another order")


# Frames


Send = Callable[[ClientConnection], Awaitable[None]]


async def _send_structured(server: Server, cookie: str, random: Random, count: int, result: Result) -> None:
    await _send(server, cookie, (_almost_frame(random) for _ in range(count)), random, result)


async def _send_unstructured(server: Server, cookie: str, random: Random, count: int, result: Result) -> None:
    await _send(server, cookie, (_no_frame(random) for _ in range(count)), random, result)


async def _send(server: Server, cookie: str, frames: Iterator[str | bytes], random: Random, result: Result) -> None:
    """Send `frames`, on another socket where one is closed, and wait until all have been read."""
    remaining = True
    while remaining:
        headers = {"Cookie": cookie} if random.random() < 0.7 else {}
        room = f"ws://{server.host}/ws/lobby"
        async with connect(room, additional_headers=headers, max_size=None, ping_interval=None) as socket:
            answers = asyncio.create_task(_drain(socket))
            try:
                for frame in frames:
                    result.sent += 1
                    await socket.send(_sendable(frame) if isinstance(frame, str) else frame)
                    if random.random() < 0.002:
                        break  # and go on with a fresh one
                else:
                    remaining = False
                await socket.send('{"cursor": "", "message": "the end", "key": "end"}')
                await asyncio.wait_for(answers, END_SECONDS)
            except ConnectionClosed as closed:
                result.count(closed.rcvd.code if closed.rcvd else "dropped")
            except TimeoutError:
                result.failures.append("a socket got no answer")
            finally:
                answers.cancel()


async def _drain(socket: ClientConnection) -> None:
    """Read until the receipt of the end has come."""
    async for frame in socket:
        if "&#34;end&#34;" in str(frame) or "&quot;end&quot;" in str(frame):
            return


CHANGES = [
    *(("typing", ["yes", ""]), ("edit", SHORT_BODIES), ("delete", ["yes"]), ("editor", ["yes", "last"])),
    *((name, ["👍", "1 👍", "2 ❤️", "x 👍", "👍👍", "a", " ", ""]) for name in ("react", "unreact")),
]


def _almost_frame(random: Random) -> str:
    """Return a frame as a browser sends it, with something wrong."""
    fields: dict[str, Any] = {}
    if random.random() < 0.7:
        fields["message"] = _value(random, SHORT_BODIES)
        fields["key"] = _value(random, ["k1", "k2", 'a"b', "a'b", "", "k" * 200, "\ud800", "é"])
    if random.random() < 0.4:
        fields["cursor"] = _value(random, [*CURSORS, "", "00000000:1"])
    if random.random() < 0.4:
        fields["pick"] = _value(random, ["1", "2", "0", "-1", "999999", "\u0661", " 1", ""])
        name, likely = random.choice(CHANGES)
        fields[name] = _value(random, likely)
    if random.random() < 0.2:
        fields["changes"] = _value(random, [*CURSORS, "", "00000000:1"])
    if random.random() < 0.3:
        fields["headers"] = _value(random, ["x"])
    if random.random() < 0.2:
        fields[_text(random)] = _value(random, ["x"])
    text = json.dumps(fields, ensure_ascii=random.random() < 0.5)
    match random.randrange(10):
        case 0:  # the same fields twice
            return text[:-1] + ", " + text[1:] if len(text) > 2 else text
        case 1:  # cut off
            return text[: random.randrange(len(text))]
        case 2:  # a character more, or another
            place = random.randrange(len(text))
            return _sendable(
                text[:place] + random.choice('{}[]":,\\\0\ufeff-9eE') + text[place + random.randrange(2) :]
            )
        case 3:
            number = random.choice(["1e999", "-1e999", "NaN", "Infinity", "9" * 5000, "0x1", "-", "1.", ".1", "1e-999"])
            return f'{{"{random.choice(["message", "key", "cursor"])}": {number}, "key": "k"}}'
        case _:
            return text


def _value(random: Random, likely: list[str], depth: int = 0) -> Any:
    """Return one of the `likely`, or anything that JSON can hold."""
    kind = random.randrange(16)
    if kind < 8 or depth > 3:
        return random.choice(likely)
    if kind < 11:
        return [_value(random, likely, depth + 1) for _ in range(random.choice([0, 1, 2, 3, 30]))]
    if kind == 11:
        return {_text(random): _value(random, likely, depth + 1)}
    return random.choice([None, True, -1, 0, 2**63, 10**400, 1.5, float("inf"), float("nan"), _text(random)])


def _no_frame(random: Random) -> str | bytes:
    """Return text that is no frame, or bytes."""
    match random.randrange(6):
        case 0:
            return _text(random)
        case 1:
            return random.randbytes(random.choice([0, 1, 5, 100, 5000]))
        case 2:
            return random.choice('[{"') * random.choice([1, 1000, 20_000])
        case 3:
            return '{"message":' * random.choice([10, 3000]) + "1"
        case 4:
            return json.dumps(random.choice(BODIES), ensure_ascii=False)
        case _:
            return json.dumps(_value(random, SHORT_BODIES))


def _text(random: Random) -> str:
    length = random.choice([0, 1, 3, 10, 200])
    return "".join(
        chr(random.choice([random.randrange(128), random.randrange(0x3000), random.randrange(0x110000)]))
        for _ in range(length)
    )


def _sendable(text: str) -> str:
    """Return `text` without halves of surrogate pairs, which no frame of text can hold."""
    return text.encode("utf-8", "replace").decode()


# Below frames: bytes on a socket that began, or almost, as a WebSocket


async def _send_below(server: Server, cookie: str, random: Random, count: int, result: Result) -> None:
    while count > 0:
        frames = [_bytes_of_frame(random) for _ in range(min(count, random.randrange(1, 12)))]
        count -= len(frames)
        result.sent += len(frames)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            handshake = _handshake(server, cookie)
            broken = random.random() < 0.15
            writer.write(_broken(random, handshake) if broken else handshake)
            if not broken and random.random() < 0.7:  # the others do not wait for the answer
                async with asyncio.timeout(PATIENCE):
                    _judge(await reader.readuntil(b"\r\n\r\n"), result, handshake)
            for frame in frames:
                writer.write(frame)
            await writer.drain()
            if random.random() < 0.5:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await reader.read(10_000)
        if random.random() < 0.3:
            writer.transport.abort()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _handshake(server: Server, cookie: str) -> bytes:
    return (
        f"GET /ws/lobby HTTP/1.1\r\nHost: {server.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: {cookie}\r\n\r\n"
    ).encode()


def _broken(random: Random, text: bytes) -> bytes:
    """Return `text` cut off, or with bytes in it that do not belong there."""
    place = random.randrange(len(text))
    if random.random() < 0.5:
        return text[:place]
    return text[:place] + random.randbytes(random.randrange(1, 8)) + text[place + random.randrange(8) :]


def _bytes_of_frame(random: Random) -> bytes:
    """Return a WebSocket frame with anything in its head: https://www.rfc-editor.org/rfc/rfc6455#section-5.2"""
    content = random.choice([b"", b'{"cursor": ""}', b"\xff\xfe", b"\xed\xa0\x80", b"x" * 130, random.randbytes(20)])
    first = random.choice(
        [0x81, 0x01, 0x00, 0x80, 0x82, 0x88, 0x89, 0x09, 0x8A, 0xC1, 0xF1, 0x83, 0x8F, random.randrange(256)]
    )
    length = random.choice([len(content)] * 6 + [0, 126, 2**16, 2**40, 2**63, 2**64 - 1])
    masked = 0x80 if random.random() < 0.8 else 0
    if length < 126:
        head = bytes([first, masked | length])
    elif length < 2**16:
        head = bytes([first, masked | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, masked | 127]) + length.to_bytes(8, "big")
    if random.random() < 0.1:
        return random.randbytes(random.choice([1, 2, 14, 100]))
    return head + (b"\0\0\0\0" if masked else b"") + content


# Requests


async def _request(server: Server, cookie: str, random: Random, count: int, result: Result) -> None:
    """Send `count` requests, one after the other, over connections that are kept where the server keeps them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for number in range(count):
        result.sent += 1
        method, request = _any_request(random, server, cookie) if number else _beyond_the_newest(server)
        if number and random.random() < 0.15:
            await _status(server, _broken(random, request) * random.choice([1, 1, 3]), result)
            continue
        kept = False
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.write(request)
            async with asyncio.timeout(PATIENCE):
                kept = await _answer(reader, method, request, result)
        if not kept or random.random() < 0.02:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.close()


async def _answer(reader: asyncio.StreamReader, method: str, request: bytes, result: Result) -> bool:
    """Read one whole answer; returns whether the connection is kept."""
    head = await reader.readuntil(b"\r\n\r\n")
    _judge(head, result, request)
    if method != "HEAD" and (found := re.search(rb"\r\ncontent-length: (\d+)", head, re.I)):
        await reader.readexactly(int(found[1]))
    elif method != "HEAD" and re.search(rb"\r\ntransfer-encoding: chunked", head, re.I):
        await reader.readuntil(b"0\r\n\r\n")
    return not re.search(rb"\r\nconnection: close", head, re.I)


async def _status(server: Server, request: bytes, result: Result) -> None:
    """Send what may be no request at all; whatever it is answered is no failure of the server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    with suppress(OSError, TimeoutError):
        writer.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            _judge(await reader.readline(), result, request)
    writer.transport.abort()


def _judge(head: bytes, result: Result, request: bytes) -> None:
    found = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    result.count(found[1].decode() if found else "none")
    if found and int(found[1]) >= 500:
        result.failures.append(f"{found[1].decode()} for {request[:300]!r}")


def _any_request(random: Random, server: Server, cookie: str) -> tuple[str, bytes]:
    """Return a request and its method: well-formed enough for an answer, and hostile in any part of it."""
    method = random.choice(["GET"] * 6 + ["POST"] * 6 + ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"])
    headers = {"Host": server.host}
    if random.random() < 0.5:
        headers["Cookie"] = random.choice([cookie] * 3 + [cookie[: random.randrange(len(cookie))], _header(random)])
    if random.random() < 0.15:
        headers["Host"] = random.choice(HOSTS)
    if random.random() < 0.15:
        headers["Origin"] = random.choice(ORIGINS)
    if random.random() < 0.2:
        name = random.choice(HEADERS.split())
        headers[name] = random.choice(["100-continue", "bytes=0-1", "bytes=9-1", "websocket", _header(random)])
    content = b""
    if method not in ("GET", "HEAD", "OPTIONS") or random.random() < 0.05:
        kind, content = _form(random)
        if kind:
            headers["Content-Type"] = kind
    lines = [f"{method} {_path(random, method)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if random.random() < 0.05:
        lines.append(f"Host: {random.choice(HOSTS)}")
    if random.random() < 0.1 and content:
        chunks = f"{len(content):x}".encode() + b"\r\n" + content + b"\r\n0\r\n\r\n"
        return method, _bytes([*lines, "Transfer-Encoding: chunked"]) + chunks
    return method, _bytes([*lines, f"Content-Length: {len(content)}"]) + content


def _beyond_the_newest(server: Server) -> tuple[str, bytes]:
    """Return a request for a position that no log has, and its method: chance may leave it out."""
    return "GET", _bytes([f"GET /?before={NEWEST + 1} HTTP/1.1", f"Host: {server.host}"])


def _bytes(lines: list[str]) -> bytes:
    """Return the head of a request: no line has another in it."""
    clean = (line.replace("\r", "").replace("\n", "") for line in lines)
    return "\r\n".join([*clean, "", ""]).encode(*BYTES)


def _header(random: Random) -> str:
    return re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", random.choice([*SHORT_BODIES, _text(random), "a" * 5000]))


def _path(random: Random, method: str) -> str:
    slug = "lobby" if random.random() < 0.8 else random.choice([*SLUGS, _text(random)])
    likely = POSTED if method == "POST" and random.random() < 0.8 else PATHS
    path = random.choice(likely.split()).format(slug=slug)
    if random.random() < 0.4:
        name = random.choice(["before", "between", "before", "q", "q", "by", "x", _text(random)])
        value = random.choice([*POSITIONS, *GAPS, "from:\0", "in:\ud800", "before:9999-12-31", "best", _text(random)])
        path += f"?{name}={value}"
    # Mostly such as is a path at all; what is none is for the broken ones.
    return quote(path.encode(*BYTES), safe="/?&=%.:;*@~!$'()+,-_\\")


HEADERS = """Sec-Fetch-Site X-Forwarded-For X-Forwarded-Proto Accept Accept-Encoding Range If-None-Match
    If-Modified-Since Upgrade Expect HX-Request Access-Control-Request-Method"""
PATHS = """/ /rooms /rooms/{slug} /rooms/{slug}/messages /rooms/{slug}/messages /rooms/{slug}/gap /name /name
    /search /search /search/results
    /healthz /readyz /metrics /ws /ws/{slug} /static /static/x /static/.. /static/%2e%2e/pyproject.toml /static/..\\..
    /docs * //evil.example/ http://evil.example/ /../ /./ /rooms/../name /static/%00 /{slug}"""
CHANGING = ["", "edit", "delete", "react", "unreact", "pick"]
BYTES = ("utf-8", "surrogatepass")  # halves of surrogate pairs too, which nothing should send
POSTED = "/name " * 4 + "/rooms/{slug}/messages " * 8 + "/rooms/{slug}/messages/1 " * 8 + "/rooms"
FILES = ("", "", "; filename=x", "; filename*=x")
# Python knows some encodings that are no character sets, and some that fail in ways of their own.
CHARSETS = (
    "utf-8 latin-1 utf-16 utf-7 idna punycode unicode_escape raw_unicode_escape undefined zlib rot13 hex x \ud800"
)


def _form(random: Random) -> tuple[str, bytes]:
    """Return the kind of a form's content, and the content, which may be of another kind."""
    fields = [
        (
            random.choice(["message", "message", "key", "name", "name", "time_zone", "room", _text(random), *CHANGING]),
            random.choice([*SHORT_BODIES, *NAMES[:30], *TIME_ZONES, _text(random), "lobby", "\\ud800"]),
        )
        for _ in range(random.choice([0, 1, 2, 3, 50]))
    ]
    boundary = random.choice(["x", "x", "", '"', "x" * 100])
    contents = {
        "application/x-www-form-urlencoded": b"&".join(
            quote(name.encode(*BYTES)).encode() + b"=" + quote(value.encode(*BYTES)).encode() for name, value in fields
        ),
        f"multipart/form-data; boundary={boundary}; charset={random.choice(CHARSETS.split())}": b"".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{random.choice(FILES)}\r\n\r\n'.encode(
                *BYTES
            )
            + f"{value}\r\n".encode(*BYTES)
            for name, value in fields
        )
        + f"--{boundary}--\r\n".encode(),
        "application/json": json.dumps(fields).encode(),
        "text/plain": random.randbytes(50),
        "": b"\0" * random.choice([1, 10_000]),
    }
    kind, content = random.choice(list(contents.items()))
    if random.random() < 0.15:
        kind = random.choice(list(contents))
    if random.random() < 0.15 and content:
        content = _broken(random, content)
    return kind, content
