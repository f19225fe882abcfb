"""The only wiring: `create_app` puts the parts together."""

import sys
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.chat.limits import Limits, Turnstile
from app.chat.messages import Member, Message
from app.cluster.bus import Bus
from app.cluster.cluster import find_neighbours
from app.delivery.http_protocol import ARRIVALS, Arrivals
from app.delivery.hub import Hub
from app.html.assets import Assets
from app.html.fragments import Fragments
from app.log import set_up_logging
from app.metrics import Metrics
from app.rooms.renamings import Renamings
from app.rooms.rooms import Rooms
from app.settings import Settings
from app.store import topics
from app.store.store import Clock, Store, StoreUnavailable, utc_now
from app.web.forms import largest_form
from app.web.identity import Signer, is_open_to_others, new_key, read_keys, split_keys
from app.web.pages import Pages, add_error_pages
from app.web.security import Doorkeeper, Guard
from app.web.sockets import Sockets

log = structlog.get_logger("parlor")

STATIC = Path(__file__).parent.parent / "static"


def create_app(settings: Settings, clock: Clock = utc_now) -> FastAPI:
    """Return the application that `settings` describe, with messages dated by `clock`.

    It opens the store when it starts, and closes it at the end.
    """
    metrics = Metrics()
    assets = Assets(STATIC)
    fragments = Fragments(settings, assets.prefix)
    store = Store(settings.store_url, clock, settings.lock_wait_seconds)
    store.on_batch = metrics.batch
    limits = Limits(settings)
    hub = Hub(metrics.fan_out)
    neighbours = find_neighbours(settings, store, hub, lambda: rooms.served(), metrics)
    rooms = Rooms(settings, store, hub, neighbours, fragments, metrics, limits, monotonic)
    store.on_commit = partial(_committed, rooms, neighbours.bus)
    store.on_renamed = partial(neighbours.bus.announce, topics.NAMES)
    signer = Signer(own_keys(settings), settings.session_lifetime)
    doorkeeper = Doorkeeper(signer, store)
    renamings = Renamings(store.renamed_since, neighbours.bus, partial(_renamed, rooms, doorkeeper))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        unfinished = Turnstile(settings.unfinished_per_address)
        # The bus until the last: what is stored at the end is announced, too.
        async with neighbours.bus.running(), store.opened(settings.lobby):
            if settings.is_shared and not settings.secret_key:
                signer.use(await shared_keys(settings, store))
            await renamings.begin()
            async with rooms.running():
                yield {
                    ARRIVALS: Arrivals(unfinished, settings.request_seconds, metrics.refused, settings.trusted_proxies)
                }

    app = Parlor(lifespan=lifespan, openapi_url=None)
    app.include_router(Pages(settings, store, rooms, fragments, doorkeeper, metrics, limits).router())
    app.add_api_route(f"{assets.prefix}/{{path:path}}", assets.get, methods=["GET", "HEAD"])
    add_error_pages(app, fragments)
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.allowed_origins, allow_credentials=True)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=largest_form(settings.message_length))
    guard = partial(
        Guard, allowed_hosts=settings.allowed_hosts, allowed_origins=settings.allowed_origins, metrics=metrics
    )
    app.add_middleware(guard)
    app.sockets = guard(Sockets(settings, rooms, fragments, doorkeeper, metrics, limits))
    return app


class Parlor(FastAPI):
    """FastAPI for the pages. Sockets have a way of their own: each layer they came through would be kept for each."""

    sockets: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a socket or the lifespan."""
        if scope["type"] == "websocket":
            await self.sockets(scope, receive, send)
        elif scope["type"] == "lifespan":
            await super().__call__(scope, receive, partial(_explain, send))
        else:
            await super().__call__(scope, receive, send)


async def _explain(send: Send, message: MutableMapping[str, Any]) -> None:
    """Pass on what becomes of the lifespan; where there is no database, in a sentence instead of a traceback."""
    error = sys.exception()
    if message["type"] == "lifespan.startup.failed" and isinstance(error, StoreUnavailable):
        message = {**message, "message": f"Parlor cannot start: {error}"}
    await send(message)


def _committed(rooms: Rooms, bus: Bus, room_id: int, position: int, messages: Sequence[Message]) -> None:
    """What was committed is shown here at once; others are told how far the log goes."""
    rooms.committed(room_id, messages)
    bus.announce(topics.log_of(room_id), position)


def _renamed(rooms: Rooms, doorkeeper: Doorkeeper, member: Member) -> None:
    """Somebody took another name, here or in another process."""
    doorkeeper.forget(member)
    rooms.rename(member)


def own_keys(settings: Settings) -> list[str]:
    """Return the keys that sign cookies: the one that is set, or those in the key file; none where they are shared."""
    if settings.secret_key:
        return [settings.secret_key.get_secret_value()]
    if settings.is_shared:
        return []
    found = read_keys(settings.key_file)
    if is_open_to_others(settings.key_file):
        # No reason not to start: whoever mounts a secret cannot always choose its mode.
        log.warning("others can read the key", path=str(settings.key_file), remedy="chmod 600")
    return found


async def shared_keys(settings: Settings, store: Store) -> list[str]:
    """Return the keys that sign cookies in all processes: those in the database, where the first to start puts some.

    They are those in its key file, if it has one: who comes from SQLite keeps everybody's name.
    """
    made = settings.key_file.read_text() if settings.key_file.exists() else new_key()
    return split_keys(await store.signing_keys(made))


def __getattr__(name: str) -> Any:
    # `uvicorn app.main:app` asks for `app`. It is made only then: reading the settings and the key file is
    # nothing that an import should do.
    if name != "app":
        raise AttributeError(name)
    settings = Settings()
    set_up_logging(settings.log_level, settings.log_format)
    return create_app(settings)
