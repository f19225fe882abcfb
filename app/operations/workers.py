"""Several processes on one port: uvicorn's supervisor, with our server in each of them.

A process that dies is replaced. SIGHUP replaces all one by one, each when its successor serves; SIGTTIN and SIGTTOU add
and remove one; SIGTERM stops them all. They share a database, and nothing else.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from time import sleep

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from app.main import create_app
from app.operations.serving import Server, raise_file_limit, uvicorn_options
from app.settings import Settings

log = structlog.get_logger("parlor.workers")

LONGEST_SILENCE = 10  # seconds, in which a process has to give a sign of life
TICK_SECONDS = 0.1
NOT_SHARED = "SQLite serves one process: leave --workers away, or use PostgreSQL (PARLOR_DATABASE_URL)"


def serve_together(settings: Settings, workers: int) -> int:
    """Serve with so many processes until stopped; returns the exit status."""
    try:
        if not settings.is_shared:
            raise ValueError(NOT_SHARED)
        create_app(settings)  # what is wrong with it is said here, once; and here the key is made
    except (ValueError, OSError) as error:
        print(f"Parlor cannot start: {error}", file=sys.stderr)
        return 2
    raise_file_limit()
    options = uvicorn_options(settings) | {"timeout_worker_healthcheck": LONGEST_SILENCE}
    config = uvicorn.Config("app.main:app", workers=workers, **options)
    multiprocess.Process = Worker  # type: ignore[misc]  # uvicorn's supervisor asks nobody what to make
    supervisor = Supervisor(config, [config.bind_socket()])
    supervisor.run()
    return 1 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


class Supervisor(multiprocess.Multiprocess):
    """uvicorn's, which while it replaces some goes on to look after the others, and to obey."""

    def restart_all(self) -> None:
        """Replace all processes, one after the other; where a successor fails, those that are left serve on."""
        for place in range(len(self.processes)):
            if not self._replace(place):
                return

    def _replace(self, place: int) -> bool:
        successor = Worker(self.config, self.sockets)
        successor.start()
        self._look_after_all_until(lambda: successor.is_ready() or not successor.is_alive())
        if not successor.is_ready():
            successor.kill()
            successor.join()
            if not self._is_told_to_stop():
                log.error("not replaced", reason="the successor died, or hangs")
            return False
        replaced, self.processes[place] = self.processes[place], successor
        replaced.terminate()
        self._look_after_all_until(lambda: not replaced.process.is_alive())
        return not self._is_told_to_stop()

    def _look_after_all_until(self, condition: Callable[[], bool]) -> None:
        # Without a timeout: on a busy machine a start or a stop takes longer than any guess.
        while not (condition() or self._is_told_to_stop()):
            self.keep_subprocess_alive()
            sleep(TICK_SECONDS)

    def _is_told_to_stop(self) -> bool:
        return self.should_exit.is_set() or not {signal.SIGINT, signal.SIGTERM}.isdisjoint(self.signal_queue)


class Worker(multiprocess.Process):
    """A process that serves as `python -m app serve` does.

    To uvicorn, one that does not answer hangs. One that starts cannot answer before it has read its modules: who kills
    it for that makes it start again, on a machine that is too busy already.
    """

    _answers = False

    def start(self) -> None:
        """Start it, and leave it the other end of the connection: where it dies, ours says so at once."""
        super().start()
        self.child_conn.close()
        self.parent_conn.send(b"ping")

    def is_alive(self, timeout: float = LONGEST_SILENCE) -> bool:
        """Whether it is there, and gives a sign of life within `timeout` seconds unless it has only begun to start."""
        return self.process.is_alive() and (not self._has_begun() or self.ping(timeout))

    def is_ready(self, timeout: float = LONGEST_SILENCE) -> bool:
        """Whether it serves; one that could answer has `timeout` seconds to say so."""
        return self._has_begun() and super().is_ready(timeout)

    def _has_begun(self) -> bool:
        """Whether it has answered what it was asked at the start, or is gone."""
        if not self._answers and self.parent_conn.poll():
            self._answers = True
            with suppress(EOFError, OSError):  # gone
                self.parent_conn.recv()
        return self._answers

    def target(self, sockets: list[socket] | None = None) -> None:
        """Serve; this is what runs in the process."""
        self._server = Server(self.config, Settings().drain_seconds)
        super().target(sockets)
