"""A PostgreSQL of one's own: started, stopped, killed, copied and promoted, as operators and accidents do."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

import asyncpg

from tests.postgres import NOBODY, OWNER, free_port, programs, unprivileged
from tests.server import HERE, Machine

PATIENCE = 30  # seconds for what it is asked to do, on a busy machine
SETTINGS = """
unix_socket_directories = ''
track_commit_timestamp = on
wal_receiver_status_interval = 1
"""
LOGINS = "host all,replication all 0.0.0.0/0 scram-sha-256\n"  # it listens on its machine's address alone


class Database:
    """A PostgreSQL on `machine`, empty, or a copy of another that follows it until it is promoted."""

    def __init__(self, machine: Machine = HERE, follows: "Database | None" = None) -> None:
        found = programs()
        assert found, "PostgreSQL is not installed"
        self.machine = machine
        self._programs = found
        self.port: int = follows.port if follows else free_port()
        self._password: str = follows._password if follows else secrets.token_hex(16)
        self._folder = Path(mkdtemp(prefix="parlor-database-"))  # a test's own folder is shut for other accounts
        self._data = self._folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self._folder, NOBODY)
        if follows:
            self._run("pg_basebackup", f"--pgdata={self._data}", f"--dbname={follows.url()}", *COPYING)
        else:
            self._make()

    def url(self, host: str = "") -> str:
        """Return its URL, by the name `host` if it has one."""
        return f"postgresql://{OWNER}:{self._password}@{host or self.machine.address}:{self.port}/postgres"

    def _make(self) -> None:
        secret = self._folder / "password"
        secret.write_text(self._password)
        self._run("initdb", f"--pgdata={self._data}", f"--username={OWNER}", f"--pwfile={secret}", *MAKING)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        (self._data / "pg_hba.conf").write_text(LOGINS)

    # What becomes of it

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        options = f"-c listen_addresses={self.machine.address} -p {self.port}"
        self._control("start", f"--log={self._folder / 'log'}", f"--options={options}")

    def stop(self) -> None:
        """Stop it as `systemctl stop` does: transactions are ended, and everything is written."""
        self._control("stop", "--mode=fast")

    def kill(self) -> None:
        """End it as a power cut does."""
        parent = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        # Stopped first, so that it starts no other meanwhile.
        os.kill(parent, signal.SIGSTOP)
        for process in (parent, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        wait_for_end(parent, *map(int, children))

    def promote(self) -> None:
        """Have it follow no more: from here on it is written to."""
        self._control("promote")

    def remove(self) -> None:
        """Take it away, and everything in it."""
        if (self._data / "postmaster.pid").exists():
            with suppress(subprocess.SubprocessError):
                self._control("stop", "--mode=immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    # What is in it

    async def ask(self, query: str, *values: object) -> list[asyncpg.Record]:
        """Return what it answers to `query`."""
        connection = await asyncpg.connect(self.url(), timeout=PATIENCE)
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    async def log(self, room: str = "lobby") -> dict[int, str]:
        """Return the texts of a room by position."""
        return {row["position"]: row["body"] for row in await self.ask(LOG, room)}

    async def require_copies(self) -> None:
        """Acknowledge from here on what a copy has on its disk as well, and nothing else."""
        # Neither runs inside a transaction, so each goes on its own.
        await self.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await self.ask("SELECT pg_reload_conf()")

    async def end_connections(self) -> int:
        """Have it end every connection that is not this one; returns how many."""
        return len(await self.ask(ENDING))

    # How it is run

    def _control(self, action: str, *options: str) -> None:
        self._run("pg_ctl", action, f"--pgdata={self._data}", "--wait", f"--timeout={PATIENCE}", *options)

    def _run(self, program: str, *options: str) -> None:
        output = self._folder / program
        with output.open("w") as file:
            command = [*self.machine.within, *unprivileged(), str(self._programs / program), *options]
            done = subprocess.run(command, cwd=self._folder, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise subprocess.SubprocessError(f"{program} {options}: {output.read_text()}")


MAKING = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
COPYING = ("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
LOG = """
SELECT messages.position, body FROM messages JOIN rooms ON rooms.id = room_id WHERE slug = $1
ORDER BY messages.position
"""
ENDING = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def wait_for_end(*processes: int) -> None:
    """Return when `processes` are gone, and forgotten: whoever starts again looks for the numbers alone."""
    deadline = time.monotonic() + PATIENCE
    while any(Path("/proc", str(process)).exists() for process in processes):
        assert time.monotonic() < deadline, f"they do not end: {processes}"
        time.sleep(0.01)
