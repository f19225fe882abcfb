"""Asks for a page again and again, over a few connections that stay open, and counts the answers.

Python is enough here: an answer costs the client a hundredth of what it costs the server (`client` says so).
"""

import re
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

CONNECTIONS = 16
AT_ONCE = 262_144  # bytes that are read at once

LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


class Unexpected(Exception):
    """An answer that is not the one that was asked for."""


@dataclass
class Answer:
    """One answer as it comes in, bytes by bytes."""

    received: bytearray = field(default_factory=bytearray)
    size: int = 0  # of the whole, as far as it is known

    def take(self, data: bytes) -> bool:
        """Take what came; whether the answer is whole now."""
        self.received += data
        if not self.size and (end := self.received.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self.received, 0, end)
            self.size = end + 4 + (int(length[1]) if length else 0)
        return 0 < self.size <= len(self.received)

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.received[9:12])

    def header(self, name: str) -> str:
        """Return the value of a header; empty where there is none."""
        head = bytes(self.received).partition(b"\r\n\r\n")[0].decode("latin-1")
        found = re.search(rf"^{name}: *(.*?)\r?$", head, re.IGNORECASE | re.MULTILINE)
        return found[1] if found else ""

    @property
    def body(self) -> str:
        """What came after the head."""
        return bytes(self.received).partition(b"\r\n\r\n")[2].decode()


def request(port: int, path: str, **headers: str) -> bytes:
    """Return a GET request; headers are named as `if_none_match`."""
    given = {"Host": f"127.0.0.1:{port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ask(port: int, asked: bytes) -> Answer:
    """Send one request, and return its answer."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(asked)
        answer = Answer()
        while not answer.take(_received(connection)):
            pass
        return answer


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(AT_ONCE)
    if not data:
        raise Unexpected("the connection was closed before the answer was whole")
    return data


def repeat(port: int, asked: bytes, status: int, seconds: float) -> dict[str, float]:
    """Send `asked` for `seconds`, the next on each connection once it has its answer, which must have `status`.

    Returns answers per second (`rate`), and what this client took of a core (`client`).
    """
    with _connected(port) as (selector, connections):
        began, used = time.perf_counter(), time.process_time()
        for connection in connections:
            connection.sendall(asked)
        count = 0
        while (passed := time.perf_counter() - began) < seconds:
            count += _collect(selector, asked, status)
        return {"rate": count / passed, "client": (time.process_time() - used) / passed}


def _collect(selector: selectors.BaseSelector, asked: bytes, status: int) -> int:
    """Take what has come; ask again where an answer is whole. Returns how many are."""
    count = 0
    for key, _ in selector.select(0.1):
        answer: Answer = key.data
        connection = key.fileobj
        assert isinstance(connection, socket.socket)
        with suppress(BlockingIOError):
            if answer.take(_received(connection)):
                _check(answer, status)
                selector.modify(connection, selectors.EVENT_READ, Answer())
                connection.sendall(asked)
                count += 1
    return count


def _check(answer: Answer, status: int) -> None:
    if answer.status != status or len(answer.received) != answer.size:
        raise Unexpected(f"wanted {status}, got {bytes(answer.received[:200])!r}")


@contextmanager
def _connected(port: int) -> Iterator[tuple[selectors.BaseSelector, list[socket.socket]]]:
    connections = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(CONNECTIONS)]
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, Answer())
        try:
            yield selector, connections
        finally:
            for connection in connections:
                connection.close()
