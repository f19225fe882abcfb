"""Who is measured: how each server is started, and how it is spoken to.

A server runs on its own core, in a folder of its own, and is new for each measurement. Several processes that share a
PostgreSQL share the cores, too, of which there are only two.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import machine, parlor, postgres
from bench.postgres import Database

ROOT = Path(__file__).parent.parent
HERE = Path(__file__).parent
BUILD = HERE / "build"
PATIENCE = 30.0  # seconds for a start or a stop

# Each server has a port of its own, below those that the system gives to clients: what closed sockets leave behind for
# a minute is in nobody's way.
PORTS = count(20_000)


@dataclass(frozen=True)
class Competitor:
    """A server that can be measured.

    `command` takes the port and the file of the fragment. `protocol` is what the load client has to speak. Where it has
    several `processes`, or says that it `shares` a PostgreSQL, they run wherever there is time, and not on a core of
    their own.
    """

    name: str
    title: str
    command: Callable[[int, Path], list[str]]
    protocol: str = "plain"
    environment: dict[str, str] = field(default_factory=dict)
    processes: int = 1
    shares: bool = False


def _with_port_and_fragment(*command: str) -> Callable[[int, Path], list[str]]:
    return lambda port, fragment: [*command, str(port), str(fragment)]


def _python(*arguments: str) -> Callable[[int, Path], list[str]]:
    return lambda port, _: [sys.executable, *(each.format(port=port) for each in arguments)]


# uvicorn takes uvloop wherever it can be imported.
ON_ASYNCIO = "import sys; sys.modules['uvloop'] = None; from app.__main__ import main; sys.exit(main(['serve']))"
# With uvicorn's own WebSocket protocol, so that every frame goes through ASGI for each browser. All else is as with
# ours: under plain `uvicorn app.main:app`, the collector would be what is measured.
SHUT = (
    "import sys; from app.operations import serving; from app.__main__ import main; "
    "serving.WebSocketProtocol = 'websockets-sansio'; "
    "sys.exit(main(['serve']))"
)

SERVE = ("-m", "app", "serve")

COMPETITORS = {
    each.name: each
    for each in (
        Competitor("limit", "C server", _with_port_and_fragment(str(BUILD / "limit"))),
        Competitor("guide", "FastAPI, plain loop", _with_port_and_fragment(sys.executable, "-m", "bench.guide")),
        Competitor("ws", "Node's ws", _with_port_and_fragment(machine.node(), str(HERE / "ws.mjs"))),
        Competitor(
            "socketio",
            "Socket.IO",
            _with_port_and_fragment(machine.node(), str(HERE / "socketio.mjs")),
            "socketio",
            {"NODE_ENV": "production"},
        ),
        Competitor("shut", "Parlor, over ASGI", _python("-c", SHUT), "parlor", parlor.ALLOWED),
        Competitor("asyncio", "Parlor on asyncio", _python("-c", ON_ASYNCIO), "parlor", parlor.ALLOWED),
        Competitor("parlor", "Parlor", _python(*SERVE), "parlor", parlor.ALLOWED),
        *(
            Competitor(f"parlor-{count}", title, _python(*SERVE), "parlor", parlor.ALLOWED, count, shares=True)
            for count, title in ((1, "1 process"), *((count, f"{count} processes") for count in (2, 4, 16, 64)))
        ),
    )
}


@dataclass(frozen=True)
class Server:
    """A competitor that runs: its processes, of which each listens on the next port; a folder for what goes with it."""

    competitor: Competitor
    port: int
    pids: tuple[int, ...]
    folder: Path
    text_length: int
    database: Database | None = None

    @property
    def pid(self) -> int:
        """The process; of several, the first."""
        return self.pids[0]

    def is_parlor(self) -> bool:
        """Whether it has names and rooms."""
        return self.competitor.protocol == "parlor"


@contextmanager
def running(competitor: Competitor) -> Iterator[Server]:
    """Run `competitor`; it is gone at the end. Raises `RuntimeError` where it does not start."""
    BUILD.mkdir(exist_ok=True)
    # Beside the build, which is on a disk: what is stored has to get there.
    with TemporaryDirectory(dir=BUILD, prefix="run-") as name, ExitStack() as stack:
        folder = Path(name)
        frame = parlor.fragment()
        (folder / "fragment.html").write_text(frame)
        database = None
        if competitor.shares:
            database = stack.enter_context(postgres.running(folder / "postgres", free_ports(1)))
        port = free_ports(competitor.processes)
        pids = []
        for number in range(competitor.processes):  # one after the other: the first makes the tables, and the key
            process = _start(competitor, port + number, folder, database)
            stack.callback(_end, process)
            _wait_until_it_listens(process, port + number, folder)
            pids.append(process.pid)
        yield Server(competitor, port, tuple(pids), folder, parlor.text_length(frame), database)


def free_ports(count: int) -> int:
    """Return the first of so many that follow each other."""
    while True:
        ports = [next(PORTS) for _ in range(count)]
        if all(map(_is_free, ports)):
            return ports[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _start(competitor: Competitor, port: int, folder: Path, database: Database | None) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PARLOR_")}
    own = {"PARLOR_DATA_DIR": str(folder / "data"), "PARLOR_PORT": str(port)}
    if database:
        own["PARLOR_DATABASE_URL"] = database.url
    place = nullcontext() if database else machine.pinned(machine.cores()[0])
    with place, (folder / "log").open("ab") as log:
        return subprocess.Popen(
            competitor.command(port, folder / "fragment.html"),
            cwd=ROOT,
            env={**inherited, **own, **competitor.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"it did not start: {last_words(folder)}")


def last_words(folder: Path) -> str:
    """Return the end of what a server has logged."""
    return (folder / "log").read_text("utf-8", "replace").strip()[-600:]


def _end(process: subprocess.Popen[bytes]) -> None:
    # Nothing of it is kept, so it may as well go at once: a stop would wait for thousands of sockets to close.
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
