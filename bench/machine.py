"""The machine: which core is whose, whether it is quiet, what it is called, and what a process takes of it.

Linux only, as the load client is. This module knows no server and no scenario.
"""

import json
import os
import platform
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic

from bench import postgres

HERE = Path(__file__).parent
DISTURBED = 0.1  # of a core that other processes take while something is measured
SATURATED = 0.9  # of its core that the load client takes: it may be what is measured
QUIET = 0.5  # processes that want to run, on average over the last minute
IN_MEMORY = {"tmpfs", "ramfs"}
PACKAGES = ("fastapi", "uvicorn", "uvloop", "websockets", "sqlalchemy", "asyncpg")


def cores() -> tuple[int, int]:
    """Return the core of the servers, and that of the load. Raises `RuntimeError` where there is only one."""
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        raise RuntimeError("two cores are needed: one for the server, one for the load")
    return ours[0], ours[-1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Start processes on `core`: they inherit it from this one, which goes back to where it was."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_many_files() -> None:
    """Let the processes that we start have as many sockets as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def is_quiet(load: float) -> bool:
    """Whether nothing else worth mentioning runs, by the `load` average."""
    return load <= QUIET


def is_in_memory(folder: Path, mounts: str) -> bool:
    """Whether `folder` is on no disk, by what /proc/self/mounts says: to store something there costs nothing."""
    places = [line.split()[1:3] for line in mounts.splitlines()]
    holding = [(len(place), kind) for place, kind in places if folder.resolve().is_relative_to(place)]
    return max(holding)[1] in IN_MEMORY


@dataclass(frozen=True)
class Effort:
    """CPU seconds up to a moment: those of all processes on all cores, and those of this one and its children."""

    at: float
    everybody: float
    ours: float

    def others_since(self, before: "Effort") -> float:
        """Return how much of a core the others took since `before`: 0 where nobody did anything."""
        theirs = (self.everybody - before.everybody) - (self.ours - before.ours)
        return max(0.0, theirs / (self.at - before.at))


def effort() -> Effort:
    """Return what has been done up to now. Children count once they have ended."""
    return Effort(monotonic(), busy_seconds(Path("/proc/stat").read_text()), sum(os.times()[:4]))


def busy_seconds(stat: str) -> float:
    """Return the seconds in which cores were not idle, by /proc/stat."""
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def cpu_of_family(pid: int, proc: Path = Path("/proc")) -> float:
    """Return the CPU seconds of a process and its children, those that are gone included."""
    ticks = 0
    for path in proc.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just gone
            # Behind the name, which may hold anything: state, parent, … user, system, those of children that are gone.
            fields = path.read_text().rpartition(")")[2].split()
            its_own = int(path.parent.name) == pid
            if its_own or int(fields[1]) == pid:
                ticks += sum(map(int, fields[11 : 15 if its_own else 13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    return _kilobytes(Path(f"/proc/{pid}/status").read_text(), "VmRSS") * 1024


def _kilobytes(status: str, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(found[1]) if found else 0


def describe() -> dict[str, str]:
    """Return what the figures depend on: the machine, and the versions of what is measured."""
    return {"machine": f"{_processor()}, {os.cpu_count()} cores", "kernel": platform.release(), **_versions()}


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _versions() -> dict[str, str]:
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": postgres.version(),
        "Node": _output(node(), "--version").removeprefix("v"),
        "ws": _package("ws"),
        "Socket.IO": _package("socket.io"),
        "gcc": _output("gcc", "-dumpfullversion"),
    }


def node() -> str:
    """Return the path of Node: the system's, or the one that came with npm where there is none."""
    return shutil.which("node") or str(Path(sys.executable).with_name("node"))


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _package(name: str) -> str:
    return str(json.loads((HERE / "node_modules" / name / "package.json").read_text())["version"])
