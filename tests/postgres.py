"""PostgreSQL for the tests: a cluster in a folder of its own, started when a test first asks for it.

Where its programs are not installed, those tests are skipped; in CI they fail.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from socket import create_server
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import pytest

PATIENCE = 30  # seconds for a start or a stop on a busy machine
OWNER = "parlor"  # superuser of the cluster
NOBODY = "nobody"  # who runs it where the tests are run by root, which PostgreSQL refuses to

# What is written need not survive the machine, only the server: tests are quick that way, whatever the disk is.
QUICK = {"fsync": "off", "full_page_writes": "off", "deadlock_timeout": "100ms"}
# A connection that is given up while TLS is asked for leaves an exception that asyncpg hands to nobody.
os.environ["PGSSLMODE"] = "disable"
DURABLE = {"fsync": "on", "full_page_writes": "on"}


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest there is; None where there is none."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = installed[-1] if installed else shutil.which("initdb")
    return Path(found).parent if found else None


class Cluster:
    """A PostgreSQL server on a free port of 127.0.0.1, with its data in `folder`. It keeps its port."""

    def __init__(self, folder: Path, **settings: str) -> None:
        found = programs()
        assert found, "PostgreSQL is not installed"
        self.port = free_port()
        self._programs = found
        self._folder = folder
        self._settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **QUICK, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._run("initdb", "--no-sync", "--auth=trust", "--locale=C", "--encoding=UTF8", f"--username={OWNER}")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*unprivileged(), str(self._programs / program), "-D", str(self._folder), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, cwd="/")
        if ended.returncode:
            raise RuntimeError(f"{program} failed:\n{ended.stdout}{ended.stderr}")

    def start(self) -> None:
        """Start, and return when it answers. It ends with the thread that calls this: let that be the main one."""
        options = [f"--{name}={value}" for name, value in (self._settings | {"port": str(self.port)}).items()]
        command = [*unprivileged(), str(self._programs / "postgres"), "-D", str(self._folder), *options]
        with (self._folder.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd="/", stderr=log)
        until = monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder.parent / 'log').read_text()}")
            sleep(0.02)

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: connections are ended (`SIGINT`), or it is as after a power cut (`SIGQUIT`)."""
        assert self._process
        self._process.send_signal(how)
        self._process.wait(PATIENCE)

    @property
    def running(self) -> bool:
        """Whether the server is there."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """Make a database, empty or a copy of `template`, and return its name."""
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.sql(f"DROP DATABASE {database} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> list[str]:
        """Run a statement as superuser and return what it says, a line for each row."""
        command: Sequence[str | Path] = (
            *(self._programs / "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"),
            *(self.url(database), "-c", statement),
        )
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(ended.stderr)
        return ended.stdout.splitlines()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def unprivileged() -> list[str]:
    """Return what a command begins with that must not be run by root; it ends with us, too, however we end."""
    if not shutil.which("setpriv"):
        return []
    as_nobody = [f"--reuid={NOBODY}", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig=INT", *as_nobody]


@contextmanager
def running(**settings: str) -> Iterator[Cluster]:
    """Run a cluster with these server `settings`; it is gone at the end."""
    # pytest's own folders are closed to all but their owner.
    with TemporaryDirectory(prefix="parlor-postgres-") as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, NOBODY)
        cluster = Cluster(Path(folder) / "data", **settings)
        cluster.start()
        try:
            yield cluster
        finally:
            if cluster.running:
                cluster.stop(signal.SIGQUIT)


def skip_without() -> None:
    """Skip the test that asks where PostgreSQL is not installed; in CI it fails."""
    if not programs():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("PostgreSQL is not installed")
