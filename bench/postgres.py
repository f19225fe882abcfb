"""PostgreSQL, which several processes share: a server of its own on the disk, as it comes, and what it was asked.

It runs on whatever core is free. That it counts statements is all that is changed.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OWNER = "parlor"
NOBODY = "nobody"  # who runs it where we are root, which it refuses to
PATIENCE = 30.0  # seconds for a start or a stop

COUNTED = """
SELECT sum(calls), coalesce(sum(rows) FILTER (WHERE query LIKE '%pg_notify(%'), 0), sum(wal_bytes)
FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True)
class Asked:
    """What a database was asked since it began to count: statements, BEGIN and COMMIT included; notifications."""

    statements: float
    notifications: float
    log_bytes: float  # that went into the write-ahead log


@dataclass(frozen=True)
class Database:
    """A PostgreSQL that runs: `pid` is the parent of all its processes."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/postgres"

    def count_anew(self) -> None:
        """Forget what it was asked."""
        self._sql("SELECT pg_stat_statements_reset()")

    def asked(self) -> Asked:
        """Return what it was asked since `count_anew`."""
        return Asked(*map(float, self._sql(COUNTED).split("|")))

    def begin(self) -> None:
        """Have it count statements."""
        self._sql("CREATE EXTENSION pg_stat_statements")

    def _sql(self, statement: str) -> str:
        command = (str(_programs() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", self.url, "-c", statement)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def running(folder: Path, port: int) -> Iterator[Database]:
    """Run a PostgreSQL on `port` with its data in `folder`, which is made; it is gone at the end."""
    folder.mkdir()
    if os.geteuid() == 0:
        folder.parent.chmod(0o711)  # so that it gets there
        shutil.chown(folder, NOBODY)
    _run("initdb", "-D", folder / "data", "--auth=trust", f"--username={OWNER}", "--encoding=UTF8", "--locale=C")
    command = _as_nobody("postgres", "-D", folder / "data", "-p", port, "-c", f"unix_socket_directories={folder}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-c", "shared_preload_libraries=pg_stat_statements"], cwd="/", stdout=log, stderr=log
        )
    try:
        _wait_until_it_answers(process, port, folder)
        database = Database(port, process.pid)
        database.begin()
        yield database
    finally:
        process.send_signal(signal.SIGINT)  # without waiting for its clients
        process.wait(PATIENCE)


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    asking = (str(_programs() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port))
    while subprocess.run(asking).returncode:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-600:]}")
        time.sleep(0.05)


def _run(program: str, *arguments: object) -> None:
    ended = subprocess.run(_as_nobody(program, *arguments), capture_output=True, text=True, cwd="/")
    if ended.returncode:
        raise RuntimeError(f"{program} failed: {ended.stderr}")


def _as_nobody(program: str, *arguments: object) -> list[str]:
    drop = [f"--reuid={NOBODY}", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    # It ends with us, however we end.
    return ["setpriv", "--pdeathsig=INT", *drop, str(_programs() / program), *map(str, arguments)]


def _programs() -> Path:
    """Return the folder of the newest PostgreSQL there is, as Debian has them; else that of the one on the path."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    if not installed and not found:
        raise RuntimeError("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    return installed[-1] if installed else Path(str(found)).parent


def version() -> str:
    """Return its version; "none" where it is not installed."""
    try:
        said = subprocess.run((_programs() / "postgres", "--version"), capture_output=True, text=True, check=True)
    except RuntimeError:
        return "none"
    return said.stdout.split()[2]
