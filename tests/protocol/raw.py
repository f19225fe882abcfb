"""A client of RFC 6455 and RFC 7692 that sends just the bytes it is told to, and judges each that it is sent.

A browser, or a library, would refuse to send what a test wants to try, and would hide what it was sent. This knows the
two protocols, and nothing of Parlor. What a server must not send fails an assertion here, in whatever test it comes.
"""

import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.profile import PROFILE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
RSV1, RSV2, RSV3 = 4, 2, 1
PATIENCE = 5.0 if PROFILE == "prove" else 30.0  # seconds for what should come at once, on a busy machine
KEY = bytes.fromhex("37fa213d")  # the masking key of the examples in RFC 6455, section 5.7
NONCE, ACCEPTED = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # those of its section 1.3
TAIL = b"\x00\x00\xff\xff"  # ends a flush of deflate, and is not sent: RFC 7692, section 7.2.1
STEP = 256  # bytes that are inflated at once
NO_CODE, NO_CLOSE = 1005, 1006  # for a close frame without a code, and an end without a close frame: section 7.4.1
DEFAULT_OFFER = "permessage-deflate; client_max_window_bits"  # that of Chromium, Firefox and WebKit


class Ended(Exception):
    """The connection ended, without a close frame."""


@dataclass(frozen=True)
class Frame:
    """A frame: RFC 6455, section 5.2. Nothing about it has to be allowed."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0

    def encoded(self, key: bytes | None = KEY, form: int | None = None) -> bytes:
        """Return its bytes, masked with `key` unless that is None; `form` is the bytes (0, 2, 8) of its length."""
        size = len(self.payload)
        form = form if form is not None else 0 if size < 126 else 2 if size < 65_536 else 8
        first = self.fin << 7 | self.rsv << 4 | self.opcode
        second = (key is not None) << 7 | {0: size, 2: 126, 8: 127}[form]
        return bytes([first, second]) + size.to_bytes(8, "big")[8 - form :] + masked(self.payload, key)


def masked(payload: bytes, key: bytes | None) -> bytes:
    """Return `key` and the payload masked with it, or the payload alone: RFC 6455, section 5.3."""
    if key is None:
        return payload
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return key + (int.from_bytes(payload) ^ int.from_bytes(stream)).to_bytes(size)


def text(words: str | bytes) -> bytes:
    """Return the frame of a text message."""
    return Frame(TEXT, words.encode() if isinstance(words, str) else words).encoded()


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """Return a close frame."""
    return Frame(CLOSE, (b"" if code is None else code.to_bytes(2, "big")) + reason).encoded()


def fragments(*payloads: bytes, opcode: int = TEXT, rsv: int = 0) -> list[bytes]:
    """Return the frames of a message that comes in these parts."""
    last = len(payloads) - 1
    return [
        Frame(CONTINUATION if place else opcode, payload, place == last, 0 if place else rsv).encoded()
        for place, payload in enumerate(payloads)
    ]


def pieces(whole: bytes, size: int) -> list[bytes]:
    """Return `whole` in pieces of `size`."""
    return [whole[start : start + size] for start in range(0, len(whole), size)]


@dataclass
class Deflate:
    """What was agreed on about compression, and both ends of it: RFC 7692, section 7."""

    server_fresh: bool = False  # server_no_context_takeover
    client_fresh: bool = False
    server_bits: int = 15  # server_max_window_bits
    client_bits: int = 15
    _inflater: "zlib._Decompress | None" = None
    _deflater: "zlib._Compress | None" = None

    def inflate(self, payload: bytes) -> bytes:
        """Return the content of a message. What cannot be, for somebody with this window and context, is an error."""
        if self._inflater is None or self.server_fresh:
            self._inflater = zlib.decompressobj(-self.server_bits)
        # In small steps, since within one zlib looks back as far as there is anything, whatever the window.
        content, rest = b"", payload + TAIL
        while rest or len(content) % STEP == 0:
            inflated = self._inflater.decompress(rest, STEP)
            content, rest = content + inflated, self._inflater.unconsumed_tail
            if not inflated:
                break
        assert not self._inflater.eof, "a last block, after which this context cannot go on"
        return content

    def deflate(self, content: bytes, level: int = 6) -> bytes:
        """Return the payload of a message."""
        if self._deflater is None or self.client_fresh:
            # zlib knows no window of 256 bytes, and what is always the same byte needs none.
            self._deflater = zlib.compressobj(level, zlib.DEFLATED, -max(self.client_bits, 9))
        flushed = self._deflater.compress(content) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        return flushed.removesuffix(TAIL)


def offers(header: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Return the extensions in a header, each with its parameters in order: RFC 6455, section 9.1."""
    found = []
    for extension in filter(None, (part.strip() for part in header.split(","))):
        name, *parameters = (part.strip() for part in extension.split(";"))
        split = [parameter.partition("=") for parameter in parameters]
        found.append((name, [(key.strip(), value.strip(' "') if equals else None) for key, equals, value in split]))
    return found


@dataclass
class Answer:
    """An HTTP answer: its status and its fields."""

    status: int
    fields: dict[str, str]  # by name, in lower case; several of one name with commas between


@dataclass
class Raw:
    """One end of a connection."""

    socket: socket.socket
    answer: Answer = field(default_factory=lambda: Answer(0, {}))
    deflate: Deflate | None = None
    _received: bytearray = field(default_factory=bytearray)

    # Opening

    def request(self, head: str) -> Answer:
        """Send a request, lines of a head, and return the head of what answers it."""
        self.send(head.strip().replace("\n", "\r\n").encode() + b"\r\n\r\n")
        while b"\r\n\r\n" not in self._received:
            self._receive()
        answer = bytes(self._take(self._received.index(b"\r\n\r\n") + 4)).decode("latin-1")
        status, *lines = answer.strip().split("\r\n")
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            known = fields.get(name.lower())
            fields[name.lower()] = f"{known}, {value.strip()}" if known else value.strip()
        self.answer = Answer(int(status.split()[1]), fields)
        return self.answer

    def open(self, host: str, path: str, offer: str = "", *headers: str) -> "Raw":
        """Do the handshake, in which `offer` is what extensions it offers."""
        extensions = [f"Sec-WebSocket-Extensions: {offer}"] if offer else []
        answer = self.request("\n".join([handshake(host, path), *extensions, *headers]))
        assert answer.status == 101, answer
        assert answer.fields["sec-websocket-accept"] == ACCEPTED
        self.deflate = agreed(offer, answer.fields.get("sec-websocket-extensions", ""))
        return self

    # Sending

    def send(self, *parts: bytes) -> None:
        """Send `parts`, in one write. What cannot be sent any more is not: what ended it is for reading to find out."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(b"".join(parts))

    def send_apart(self, parts: list[bytes]) -> None:
        """Send each of `parts` in a write of its own."""
        for part in parts:
            self.send(part)

    # Reading

    def frame(self) -> Frame:
        """Return the next frame. Raises `Ended`."""
        first, second = self._take(2)
        fin, rsv, opcode = bool(first >> 7), first >> 4 & 7, first & 15
        assert second < 128, "a server masks nothing: section 5.1"
        size = second
        if second == 126:
            size = int.from_bytes(self._take(2))
            assert size > 125, "the shortest form of a length: section 5.2"
        if second == 127:
            size = int.from_bytes(self._take(8))
            assert 65_535 < size < 2**63, "the shortest form of a length: section 5.2"
        assert opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), "section 5.2"
        assert opcode < CLOSE or (fin and size <= 125), "control frames are short and whole: section 5.5"
        assert rsv in ((0, RSV1) if self.deflate and opcode in (TEXT, BINARY) else (0,)), "section 5.2"
        return Frame(opcode, bytes(self._take(size)), fin, rsv)

    def event(self) -> Frame:
        """Return the next message, whole and inflated, or the next control frame. Raises `Ended`."""
        opcode, rsv, content = CONTINUATION, 0, b""
        while True:
            frame = self.frame()
            if frame.opcode >= CLOSE:
                assert opcode == CONTINUATION, "this server does not interrupt its messages"
                return frame
            assert (frame.opcode == CONTINUATION) == (opcode != CONTINUATION), "section 5.4"
            opcode, rsv, content = opcode or frame.opcode, rsv or frame.rsv, content + frame.payload
            if frame.fin:
                return Frame(opcode, self.deflate.inflate(content) if rsv and self.deflate else content, True, rsv)

    def message(self) -> str:
        """Return the next text message, whatever control frames come before it but a close. Raises `Ended`."""
        while (event := self.event()).opcode != TEXT:
            assert event.opcode in (PING, PONG), f"no message comes any more, but {event}"
        return event.payload.decode()

    def closing(self) -> int:
        """Return the code of the close frame that comes, after whatever else."""
        try:
            while (event := self.event()).opcode != CLOSE:
                pass
        except Ended:
            return NO_CLOSE
        assert len(event.payload) != 1, "a code has two bytes: section 5.5.1"
        event.payload[2:].decode()
        return int.from_bytes(event.payload[:2]) if event.payload else NO_CODE

    def ends(self) -> bool:
        """Return whether the connection ends now, and nothing comes before that."""
        try:
            return self.frame() is None
        except Ended:
            return not self._received

    def failure(self) -> int:
        """Return the code with which the server fails the connection, which it has to end at once: section 7.1.7."""
        code = self.closing()
        assert self.ends(), "nothing comes after a close frame: section 5.5.1"
        return code

    def _take(self, size: int) -> bytearray:
        while len(self._received) < size:
            self._receive()
        taken = self._received[:size]
        del self._received[:size]
        return taken

    def _receive(self) -> None:
        try:
            received = self.socket.recv(65_536)
        except ConnectionResetError:  # it was closed on something that we had sent, and it did not want to read
            received = b""
        if not received:
            raise Ended
        self._received += received


def handshake(host: str, path: str) -> str:
    """Return the lines of a handshake without anything that need not be in it."""
    return "\n".join(
        [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {NONCE}",
            "Sec-WebSocket-Version: 13",
        ]
    )


def agreed(offer: str, answer: str) -> Deflate | None:
    """Return what `answer` makes of `offer`; None is no compression. It has to be allowed: RFC 7692, section 7.1."""
    if not answer:
        return None
    ((name, taken),) = offers(answer)
    assert name == "permessage-deflate"
    parameters = dict(taken)
    assert len(parameters) == len(taken), "each parameter once"
    assert any(_answers(dict(offered), parameters) for name, offered in offers(offer) if name == "permessage-deflate")
    return Deflate(
        "server_no_context_takeover" in parameters,
        "client_no_context_takeover" in parameters,
        int(parameters.get("server_max_window_bits") or 15),
        int(parameters.get("client_max_window_bits") or 15),
    )


def _answers(offered: dict[str, str | None], taken: dict[str, str | None]) -> bool:
    """Return whether a server may take what was offered in this way."""
    bits = {name: int(value) for name, value in taken.items() if name.endswith("_bits") and value}
    bounds = {name: int(value) for name, value in offered.items() if value and value.isdigit()}
    flags = {name for name in taken if name not in bits}
    return (
        flags <= {"server_no_context_takeover", "client_no_context_takeover"}
        and all(taken[name] is None for name in flags)
        and ("server_no_context_takeover" in taken or "server_no_context_takeover" not in offered)
        and all(8 <= bit <= 15 for bit in bits.values())
        and bits.get("server_max_window_bits", 15) <= bounds.get("server_max_window_bits", 15)
        and ("client_max_window_bits" in offered or "client_max_window_bits" not in taken)
        and bits.get("client_max_window_bits", 8) <= bounds.get("client_max_window_bits", 15)
        and set(bits) <= {"server_max_window_bits", "client_max_window_bits"}
    )


@contextmanager
def connected(host: str) -> Iterator[Raw]:
    """Connect to `host`, address and port, without a handshake yet."""
    name, _, port = host.rpartition(":")
    with socket.create_connection((name, int(port)), PATIENCE) as end:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # nothing is held back to go with the next write
        yield Raw(end)
