"""Serves the chat: uvicorn with our protocols, until it is stopped."""

import asyncio
import gc
import sys
from contextlib import suppress
from socket import socket
from time import monotonic
from typing import Any

import structlog
import uvicorn

from app.delivery.http_protocol import STOPPING, HttpProtocol
from app.delivery.websocket_protocol import WebSocketProtocol
from app.main import create_app
from app.settings import Settings

log = structlog.get_logger("parlor")

MOST_FILES = 65_536  # where the system sets no limit
BYTES_PER_CHARACTER = 4  # at most, in UTF-8
TICK_SECONDS = 0.05


def serve(settings: Settings) -> int:
    """Serve until stopped."""
    try:
        app = create_app(settings)
    except (ValueError, OSError) as error:
        print(f"Parlor cannot start: {error}", file=sys.stderr)
        return 2
    raise_file_limit()
    server = Server(uvicorn.Config(app, **uvicorn_options(settings)), settings.drain_seconds)
    with suppress(KeyboardInterrupt):  # Ctrl+C, which uvicorn raises again once it has stopped
        server.run()
    return 0 if server.started else 1


def reload(settings: Settings) -> int:
    """Serve, and start again whenever a file of ours changes."""
    log.info("start", url=f"http://{settings.host}:{settings.port}", reload=True)
    uvicorn.run(
        "app.main:app",
        reload=True,
        reload_dirs=["app", "templates", "static"],
        reload_includes=["*.py", "*.html", "*.css"],
        **uvicorn_options(settings),
    )
    return 0


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Return how uvicorn is to run."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": HttpProtocol,
        "ws": WebSocketProtocol,
        "ws_max_size": settings.frame_length * BYTES_PER_CHARACTER,
        "forwarded_allow_ips": settings.trusted_proxies,
        "timeout_graceful_shutdown": settings.shutdown_seconds,
        "log_config": None,
        "access_log": False,
        "server_header": False,
    }


class Server(uvicorn.Server):
    """uvicorn, which tells where it listens in one line, and lets go of nothing that it has accepted.

    Told to stop, it first serves on for `drain_seconds` while `/readyz` says 503.
    """

    def __init__(self, config: uvicorn.Config, drain_seconds: float = 0) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start listening, and say where."""
        await super().startup(sockets)
        calm_collector()
        for server in getattr(self, "servers", []):
            host, port = server.sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            log.info("start", url=f"http://{shown}:{port}")

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop: tell the browsers to reconnect, finish accepted requests, and log it."""
        await self._drain()
        for server in self.servers:
            server.close()
        # uvicorn closes the connections that exist now; the last accepted ones exist after the next turns of the loop.
        await asyncio.sleep(TICK_SECONDS)
        await super().shutdown(sockets)
        log.info("stop")

    async def _drain(self) -> None:
        """Serve on, no longer ready, until balancers have noticed; a second Ctrl+C ends it."""
        self.lifespan.state[STOPPING] = True
        until = monotonic() + self._drain_seconds
        while monotonic() < until and not self.force_exit:  # noqa: ASYNC110 a signal sets the flag, and tells nobody
            await asyncio.sleep(TICK_SECONDS)


def calm_collector() -> None:
    """Have Python collect garbage rarely, and skip the objects that exist from the start.

    Nothing else can happen meanwhile, and it looks at all that is alive: at 4,000 connections for 200 ms, when left to
    its own. What a message leaves is gone without it. What a connection leaves may wait for some thousand others.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 5)


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each browser's socket is one, and 1,024 is a common default."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        enough = MOST_FILES if most == resource.RLIM_INFINITY else most
        with suppress(ValueError, OSError):  # not everywhere: then it stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, most))
