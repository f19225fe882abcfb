"""Attackers without an account: `python -m tests.guarantees.attackers <host> <attack> [cookie …]`.

They know the protocols and the documentation, not the code. Each attack is a way to have little become much: bytes that
inflate, frames without end, beginnings without an end, texts that a careless parser reads again and again. They run in
a process of their own, and take only the time that the server and its guests leave: real ones are elsewhere.
"""

import json
import os
import random
import select
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic, sleep
from urllib.parse import quote

from tests.hostile import costly
from tests.protocol.raw import BINARY, CONTINUATION, NONCE, PING, RSV1, TEXT, Deflate, Frame, pieces, text

ADDRESS = "127.9.0.1"  # of all of them
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
LARGEST = 1_600_000  # bytes of a message that the server reads
PATIENCE = 5.0  # for a write that the server does not take
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


class Attack:
    """What the attackers do to the server at `host`. Some are members, by `cookies`."""

    def __init__(self, host: str, cookies: Sequence[str] = (), sockets: int = 200, seed: int = 1) -> None:
        self._host, _, port = host.rpartition(":")
        self._port = int(port)
        self._cookies = cookies
        self._sockets = sockets
        self._random = random.Random(seed)  # noqa: S311

    # Messages

    def said(self) -> None:
        """Members who say, within their limits, what is slow to show."""
        for body in costly(4_000):
            frames = [text(json.dumps({"message": body[:4_000], "key": f"{n}{id(body)}"})) for n in range(3)]
            for cookie in self._cookies:
                self._flood(b"".join(frames), 1, cookie=cookie)

    # Frames

    def bombs(self) -> None:
        """Frames that inflate to a thousand times their size, as many as one write takes."""
        self._flood(Frame(TEXT, deflated(b"x" * (LARGEST - 10_000)), rsv=RSV1).encoded() * 153)

    def begun(self) -> None:
        """Messages that never end: plain, in fragments, compressed."""
        plain = Frame(TEXT, b"x" * LARGEST).encoded()[:-1]
        parts = Frame(TEXT, b"x" * 700_000, fin=False).encoded() + Frame(CONTINUATION, b"x" * 700_000, False).encoded()
        packed = Frame(TEXT, deflated(b"x" * (LARGEST - 1)), fin=False, rsv=RSV1).encoded()
        for payload in (plain, parts, packed):
            self._flood(payload)

    def ghosts(self) -> None:
        """Frames that say nothing, by the thousands, and gone."""
        self._flood(text("{}") * 3_000)

    def waiting(self) -> None:
        """Frames that say nothing, by the thousands, of attackers who stay."""
        self._flood(text("{}") * 3_000, stay=PATIENCE)

    def pings(self) -> None:
        """Pings that want an answer each, and fragments with nothing in them."""
        self._flood(Frame(PING).encoded() * 20_000)
        self._flood(Frame(TEXT, fin=False).encoded() + Frame(CONTINUATION, fin=False).encoded() * 20_000)

    def texts(self) -> None:
        """The largest frames there are, of everything that is slow to read."""
        for body in costly(399_000):
            for frame in (json.dumps({"message": body[:66_000], "key": "k"}), '{"a": ' + body):
                self._flood(text(frame.encode("utf-8", "replace")[:LARGEST]), self._sockets // 20)

    def noise(self) -> None:
        """Any bytes at all, compressed and fragmented ones, in pieces of any size."""
        for _ in range(20):
            some = b"".join(self._any_frame() for _ in range(50))
            self._flood(some, self._sockets // 10, self._random.choice([1, 7, 1_000, len(some)]))

    def edges(self) -> None:
        """Sizes at every limit, one less and one more."""
        for limit in (125, 126, 65_535, 65_536, 400_000, LARGEST):
            for size in (limit - 1, limit, limit + 1):
                frame = json.dumps({"message": "", "key": "k"})
                self._flood(text(frame.replace('""', f'"{"x" * (size - len(frame))}"')), 2)
                self._flood(Frame(BINARY, b"x" * size).encoded(), 2)
                self._flood(Frame(TEXT, deflated(b"x" * size), rsv=RSV1).encoded(), 2)

    # Requests

    def forms(self) -> None:
        """Forms with all that is slow to read, in each field."""
        for size in (48_000, 690_000, 2_000_000):
            for body in costly(size):
                for field in (f"name={body}", f"name={quote(body, errors='replace')}", f"time_zone={body}", body):
                    content = field.encode("utf-8", "replace")[:size]
                    self._ask(f"POST /name HTTP/1.1\r\n{FORM}Content-Length: {len(content)}\r\n", content)

    def heads(self) -> None:
        """Heads as large as they may be, of all that is slow to read."""
        for size in (7_900, 15_000, 30_000, 60_000):
            for body in costly(size):
                line = quote(body, safe="\"\\;=,&%.[]{}()<>:/ '", errors="replace")[:size].replace("\r\n", "")
                address = quote(line, safe="&=%;")[:size]
                for field in ("Cookie: parlor_member=", "Cookie: a=", "If-None-Match: ", "Origin: ", "Referer: "):
                    self._ask(f"GET / HTTP/1.1\r\n{field}{line}\r\n")
                self._ask(f"GET /?before=1&{address} HTTP/1.1\r\n")
                self._ask(f"GET /rooms/{address} HTTP/1.1\r\n")
        for field in ("a:\r\n", "Cookie: a=b\r\n", "Host: a\r\n"):
            self._ask(f"GET / HTTP/1.1\r\n{field * (60_000 // len(field))}")

    def slow(self) -> None:
        """Handshakes, frames and forms that come a byte at a time."""
        handshake = self._handshake()
        form = f"POST /name HTTP/1.1\r\nHost: {self._host}\r\n{FORM}Content-Length: 999\r\n\r\nname=".encode()
        for whole in (handshake, form, handshake + text("x" * 300)):
            opened = [self._connect() for _ in range(self._sockets // 4)]
            for byte in pieces(whole, 1):
                for each in opened:
                    with suppress(OSError):
                        each.send(byte)
            for each in opened:
                each.close()

    # How

    def _any_frame(self) -> bytes:
        some = self._random
        payload = some.randbytes(some.choice([0, 1, 125, 126, 4_000, 70_000]))
        payload = deflated(payload) if some.random() < 0.5 else payload
        opcode = some.choice([TEXT, TEXT, BINARY, CONTINUATION, PING, some.randrange(16)])
        frame = Frame(opcode, payload, some.random() < 0.7, some.choice([0, RSV1, RSV1, some.randrange(8)]))
        return frame.encoded(form=some.choice([None, None, 8]))

    def _flood(self, payload: bytes, sockets: int = 0, size: int = 0, cookie: str = "", stay: float = 0) -> None:
        """Send `payload` in pieces of `size` on so many sockets, read nothing, `stay` so many seconds, and leave."""
        opened = []
        for _ in range(sockets or self._sockets):
            with suppress(OSError):
                opened.append(self._connect())
                opened[-1].sendall(self._handshake(cookie))
                opened[-1].recv(4096)
        waiting = {each: iter(pieces(payload, size or 262_144)) for each in opened}
        parts: dict[socket.socket, bytes] = dict.fromkeys(opened, b"")
        until = monotonic() + PATIENCE
        while waiting and monotonic() < until:
            _, ready, _ = select.select([], list(waiting), [], 0.1)
            for each in ready:
                part = parts[each] or next(waiting[each], b"")
                try:
                    parts[each] = part[each.send(part) :]
                except OSError:
                    part = b""
                if not part:
                    del waiting[each]
            if not ready:
                break  # nobody is read any more
        sleep(stay)
        for each in opened:
            each.close()

    def _ask(self, head: str, content: bytes = b"") -> None:
        """Send a request, and wait for whatever is the answer."""
        with suppress(OSError), self._connect() as opened:
            opened.sendall(
                f"{head}Host: {self._host}\r\nConnection: close\r\n\r\n".encode("utf-8", "replace") + content
            )
            opened.recv(65_536)

    def _connect(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), PATIENCE, source_address=(ADDRESS, 0))

    def _handshake(self, cookie: str = "") -> bytes:
        said = f"Cookie: parlor_member={cookie}\r\n" if cookie else ""
        return (
            f"GET /ws HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {NONCE}\r\nSec-WebSocket-Version: 13\r\n{OFFER}{said}\r\n"
        ).encode()


def deflated(content: bytes) -> bytes:
    return Deflate().deflate(content)


ATTACKS: dict[str, Callable[[Attack], None]] = {
    name: getattr(Attack, name)
    for name in [
        "said",  # first: what the others have sent counts for their address
        "bombs",
        "begun",
        "ghosts",
        "waiting",
        "pings",
        "texts",
        "noise",
        "edges",
        "forms",
        "heads",
        "slow",
    ]
}


def main() -> None:
    os.nice(19)
    host, name, sockets, *cookies = sys.argv[1:]
    ATTACKS[name](Attack(host, cookies, int(sockets)))


if __name__ == "__main__":
    main()
