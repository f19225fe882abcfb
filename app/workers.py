"""Several processes that serve one address: uvicorn's supervisor, with our server in each of them.

One that dies is replaced; SIGHUP replaces them one by one, each when its successor serves, SIGTTIN and SIGTTOU make
them more and fewer, SIGTERM stops them all. They share a database, and nothing else.
"""

import sys
from socket import socket

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from app.main import create_app
from app.serving import Server, raise_file_limit, uvicorn_options
from app.settings import Settings

LONGEST_START = 10  # seconds, in which a successor has to serve, and any process to give a sign of life
NOT_SHARED = "SQLite serves one process: leave --workers away, or use PostgreSQL (PARLOR_DATABASE_URL)"


class Worker(multiprocess.Process):
    """A process that serves as `python -m app serve` does."""

    def start(self) -> None:
        """Start it, and leave it the other end of the connection: where it dies, ours says so at once."""
        super().start()
        self.child_conn.close()

    def target(self, sockets: list[socket] | None = None) -> None:
        """Serve; this is what runs in the process."""
        self._server = Server(self.config, Settings().drain_seconds)
        super().target(sockets)


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
    options = uvicorn_options(settings) | {"timeout_worker_healthcheck": LONGEST_START}
    config = uvicorn.Config("app.main:app", workers=workers, **options)
    multiprocess.Process = Worker  # type: ignore[misc]  # uvicorn's supervisor asks nobody what to make
    supervisor = multiprocess.Multiprocess(config, [config.bind_socket()])
    supervisor.run()
    return 1 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0
