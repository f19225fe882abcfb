"""Who is measured: how each server is started, and how it is spoken to.

A server runs on its own core, in a folder of its own, and is new for each measurement.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import machine, parlor

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

    `command` takes the port and the file of the fragment. `protocol` is what the load client has to speak.
    """

    name: str
    title: str
    command: Callable[[int, Path], list[str]]
    protocol: str = "plain"
    environment: dict[str, str] = field(default_factory=dict)


def _with_port_and_fragment(*command: str) -> Callable[[int, Path], list[str]]:
    return lambda port, fragment: [*command, str(port), str(fragment)]


def _python(*arguments: str) -> Callable[[int, Path], list[str]]:
    return lambda port, _: [sys.executable, *(each.format(port=port) for each in arguments)]


# uvicorn takes uvloop wherever it can be imported.
ON_ASYNCIO = "import sys; sys.modules['uvloop'] = None; from app.__main__ import main; sys.exit(main(['serve']))"
# With uvicorn's own WebSocket protocol, so that every frame goes through ASGI for each browser. All else is as with
# ours: under plain `uvicorn app.main:app`, the collector would be what is measured.
SHUT = (
    "import sys; from app import serving; from app.__main__ import main; serving.WireProtocol = 'websockets-sansio'; "
    "sys.exit(main(['serve']))"
)

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
        Competitor("shut", "Parlor, door shut", _python("-c", SHUT), "parlor", parlor.ALLOWED),
        Competitor("asyncio", "Parlor on asyncio", _python("-c", ON_ASYNCIO), "parlor", parlor.ALLOWED),
        Competitor("parlor", "Parlor", _python("-m", "app", "serve"), "parlor", parlor.ALLOWED),
    )
}


@dataclass(frozen=True)
class Server:
    """A competitor that runs: where it listens, its process, a folder for what goes with it."""

    competitor: Competitor
    port: int
    pid: int
    folder: Path
    text_length: int

    def is_parlor(self) -> bool:
        """Whether it has names and rooms."""
        return self.competitor.protocol == "parlor"


@contextmanager
def running(competitor: Competitor) -> Iterator[Server]:
    """Run `competitor` on the servers' core; it is gone at the end. Raises `RuntimeError` where it does not start."""
    BUILD.mkdir(exist_ok=True)
    # Beside the build, which is on a disk: what is stored has to get there.
    with TemporaryDirectory(dir=BUILD, prefix="run-") as name:
        folder = Path(name)
        port = _free_port()
        frame = parlor.fragment()
        (folder / "fragment.html").write_text(frame)
        process = _start(competitor, port, folder)
        try:
            _wait_until_it_listens(process, port, folder)
            yield Server(competitor, port, process.pid, folder, parlor.text_length(frame))
        finally:
            _end(process)


def _free_port() -> int:
    while True:
        port = next(PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def _start(competitor: Competitor, port: int, folder: Path) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PARLOR_")}
    own = {"PARLOR_DATA_DIR": str(folder / "data"), "PARLOR_PORT": str(port)}
    with machine.pinned(machine.cores()[0]), (folder / "log").open("wb") as log:
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
