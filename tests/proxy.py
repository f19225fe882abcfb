"""A link to a server that can be slow, silent or broken: a small TCP proxy for tests."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK = 65_536
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PATIENCE = 30  # seconds for what a test waits for


class Proxy:
    """Passes on what comes to its own port, to `target` and back. What it does to that, tests choose."""

    def __init__(self, target: int) -> None:
        self.delay = 0.0  # seconds that every chunk waits, each way, at least
        self.attempts: list[float] = []  # when somebody tried to connect, in seconds of the monotonic clock
        self.cut_at = 0.0  # when the link was cut last, on the same clock
        self._target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._broken = False
        self._refusing = False
        self._changed = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self._far: set[socket.socket] = set()  # of these, those to the target
        self._lost: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._run(self._accept)

    @property
    def url(self) -> str:
        """Where it listens, as the origin of the pages behind it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Break every connection, and each new one at once, until `heal`."""
        with self._changed:
            self._broken = True
            self.cut_at = time.monotonic()
            for end in self._sockets:
                _shut(end)

    def refuse(self) -> None:
        """Break every connection, and answer each new one with 503, until `heal`: a proxy that misses its server."""
        self._refusing = True
        self.cut()

    def stall(self) -> None:
        """Accept, and pass nothing on, until `heal`: nobody is told that the link is gone."""
        self._flowing.clear()

    def lose(self) -> None:
        """Forget the connections that there are: nothing passes on them ever again, and nobody is told."""
        with self._changed:
            self._lost |= self._sockets

    def mute(self) -> None:
        """Pass on what is asked on the connections that there are, and never an answer; nobody is told."""
        with self._changed:
            self._lost |= self._far

    def heal(self) -> None:
        """Pass on everything again, and what has come while it stalled."""
        self._broken = self._refusing = False
        self._flowing.set()

    def wait_for_attempts(self, count: int, patience: float = PATIENCE) -> list[float]:
        """Wait until there were `count` attempts to connect, and return their times."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.attempts) >= count, patience), self.attempts
            return self.attempts[:count]

    def close(self) -> None:
        """End everything."""
        self.cut()
        self._flowing.set()
        _shut(self._listener)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(PATIENCE)

    def _run(self, target: object, *arguments: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self.attempts.append(time.monotonic())
                self._changed.notify_all()
            self._run(self._link, near)

    def _link(self, near: socket.socket) -> None:
        """Join `near` to the target until either side ends it."""
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            with self._changed:
                if self._broken:
                    if self._refusing:
                        near.recv(CHUNK)
                        near.sendall(UNAVAILABLE)
                    return
                self._sockets |= {near, far}
                self._far.add(far)
            back = threading.Thread(target=self._pass_on, args=(far, near), daemon=True)
            back.start()
            self._pass_on(near, far)
            back.join()
            with self._changed:
                self._sockets -= {near, far}
                self._far.discard(far)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                self._flowing.wait()
                if source not in self._lost:
                    target.sendall(data)
        _shut(source)
        _shut(target)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxying(target: int) -> Iterator[Proxy]:
    """Run a proxy to the port `target`; it is gone at the end."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
