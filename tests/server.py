"""A real server as a subprocess, as an operator starts it: for tests that need processes, ports or restarts."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.ways import IS_PLAIN, WAY, command

ROOT = Path(__file__).parent.parent
PATIENCE = 30  # seconds for a start or a stop on a busy machine
ERROR = re.compile(r"Traceback|level='(error|critical)'")
LISTENS = re.compile(r"event='start' url='http://[^']*:(\d+)'|Uvicorn running on http://\S*:(\d+)")


@dataclass(frozen=True)
class Machine:
    """Where something runs: its address, and what a command begins with to run there."""

    address: str = "127.0.0.1"
    within: Sequence[str] = ()


HERE = Machine()


class Server:
    """A server, run in the chosen way, in a data folder of its own. It keeps its port when it is started again."""

    def __init__(self, data: Path, **settings: object) -> None:
        self.log: list[str] = []
        self.port = 0
        self.machine = HERE  # another one is chosen before the start
        self._settings = settings
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PARLOR_")},
            "PYTHONUNBUFFERED": "1",
            "PARLOR_DATA_DIR": str(data),
            **{f"PARLOR_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens, as the origin of its pages."""
        return f"http://{self.host}"

    @property
    def host(self) -> str:
        """Host and port, as in an address."""
        return f"{self.machine.address}:{self.port}"

    def start(self) -> None:
        """Start, and return when it listens."""
        self._process = subprocess.Popen(
            [*self.machine.within, *self.command()],
            cwd=ROOT,
            env={**self._environment, "PARLOR_HOST": self.machine.address, "PARLOR_PORT": str(self.port)},
            stderr=subprocess.PIPE,
            text=True,
        )
        listening = threading.Event()
        self._reader = threading.Thread(target=self._follow, args=(self._process, listening), daemon=True)
        self._reader.start()
        if not listening.wait(PATIENCE) or not self.port:
            self.kill()
            raise RuntimeError("the server did not start:\n" + "\n".join(self.log))

    def command(self) -> list[str]:
        """Return how it is started."""
        return command(WAY, self.port, self._settings)

    def _follow(self, process: subprocess.Popen[str], listening: threading.Event) -> None:
        assert process.stderr
        with process.stderr:
            for line in process.stderr:
                self.log.append(line.rstrip())
                if found := LISTENS.search(line):
                    self.port = int(found[1] or found[2])
                    listening.set()
        listening.set()

    def stop(self) -> None:
        """Stop it gracefully, as systemd does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def tell(self, what: signal.Signals) -> None:
        """Send the process a signal, and wait for nothing."""
        assert self._process
        self._process.send_signal(what)

    def _end(self, how: signal.Signals) -> None:
        assert self._process and self._reader
        self.tell(how)
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    @property
    def complaints(self) -> list[str]:
        """What it logged as an error. (Plain uvicorn takes for its own what clients do.)"""
        return [line for line in self.log if not IS_PLAIN and ERROR.search(line)]

    @property
    def pid(self) -> int:
        """The process' number."""
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def memory(self) -> int:
        """Bytes of memory that the process holds."""
        return int(re.search(r"VmRSS:\s+(\d+) kB", self._proc("status").read_text())[1]) * 1024  # type: ignore[index]

    @property
    def open_files(self) -> int:
        """Files and sockets that the process has open."""
        return len(list(self._proc("fd").iterdir()))

    @property
    def open_sockets(self) -> int:
        """How many of these are sockets."""
        found = 0
        for file in self._proc("fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found += file.readlink().name.startswith("socket:")
        return found

    def _proc(self, name: str) -> Path:
        assert self._process
        return Path("/proc", str(self._process.pid), name)


@contextmanager
def serving(data: Path, **settings: object) -> Iterator[Server]:
    """Run a server with these `settings` (names as in `settings.py`); it is gone at the end."""
    server = Server(data, **settings)
    server.start()
    try:
        yield server
    finally:
        if server.running:
            server.kill()
