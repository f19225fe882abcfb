"""The only wiring: `create_app` puts the parts together, from the log to the socket."""

import sys
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.chat.limits import Limits, Quota
from app.chat.messages import Member
from app.chat.timeline import Changes
from app.cluster.bus import Bus
from app.cluster.cluster import join_cluster
from app.delivery.http_protocol import REQUEST_LIMITS, RequestLimits
from app.delivery.hub import Hub
from app.html.assets import Assets
from app.html.fragments import Fragments
from app.log import set_up_logging
from app.metrics import Metrics
from app.rooms.renamings import Renamings
from app.rooms.rooms import Rooms
from app.settings import Settings
from app.store import topics
from app.store.errors import StoreUnavailable
from app.store.store import Clock, Store, utc_now
from app.web.authentication import Authenticator
from app.web.cookies import Cookies
from app.web.errors import add_error_pages
from app.web.forms import largest_form
from app.web.health import Health
from app.web.identity import Signer
from app.web.keys import own_keys, shared_keys
from app.web.pages import Pages
from app.web.posts import Posts
from app.web.room_page import RoomPage
from app.web.security import SecurityMiddleware, limit_requests
from app.web.sockets import Sockets

STATIC = Path(__file__).parent.parent / "static"

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]


def create_app(settings: Settings, clock: Clock = utc_now) -> FastAPI:
    """Return the application that `settings` describe, with messages dated by `clock`.

    It opens the store when it starts, and closes it at the end.
    """
    metrics, limits, assets = Metrics(), Limits(settings), Assets(STATIC)
    fragments = Fragments(settings, assets.prefix)
    store = Store(settings.store_url, clock, settings.lock_wait_seconds)
    hub = Hub(metrics.fan_out)
    cluster = join_cluster(settings, store, hub, lambda: rooms.delivery.served(), metrics)
    rooms = Rooms(settings, store, cluster, hub, fragments, metrics, limits, monotonic)
    signer = Signer(own_keys(settings), settings.session_lifetime)
    authenticator = Authenticator(signer, store)
    announce(store, rooms, cluster.bus, metrics)
    renamings = Renamings(store.renamed_since, cluster.bus, partial(renamed, rooms, authenticator))

    cookies = Cookies(settings, signer)
    page = RoomPage(settings, authenticator, cookies, rooms, fragments, metrics)
    counted = limit_requests(limits, metrics)
    app = Parlor(lifespan=lifespan(settings, store, rooms, signer, renamings, metrics), openapi_url=None)
    app.include_router(Pages(rooms, fragments, page).router(counted))
    app.include_router(Posts(settings, rooms, authenticator, cookies, page).router(counted))
    app.include_router(Health(settings, store, rooms, metrics).router())
    app.add_api_route(f"{assets.prefix}/{{path:path}}", assets.get, methods=["GET", "HEAD"])
    add_error_pages(app, fragments)
    secured = add_middleware(app, settings, metrics)
    app.sockets = secured(Sockets(settings, rooms, fragments, authenticator, metrics, limits))
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


def lifespan(
    settings: Settings, store: Store, rooms: Rooms, signer: Signer, renamings: Renamings, metrics: Metrics
) -> Lifespan:
    """Return what runs from the start to the stop."""

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        pending = Quota(settings.pending_requests_per_address)
        # The bus stops last, so that messages stored during the stop are announced, too.
        async with rooms.cluster.bus.running(), store.opened(settings.lobby):
            if settings.is_shared and not settings.secret_key:
                signer.use(await shared_keys(settings, store))
            await renamings.begin()
            async with rooms.running():
                limits = RequestLimits(pending, settings.request_seconds, metrics.refused, settings.trusted_proxies)
                yield {REQUEST_LIMITS: limits}

    return running


def announce(store: Store, rooms: Rooms, bus: Bus, metrics: Metrics) -> None:
    """Show what the store commits, and tell other processes how far the log goes."""

    def committed(room_id: int, changes: Changes) -> None:
        rooms.delivery.committed(room_id, changes)
        bus.announce(topics.log_of(room_id), changes.upto)

    store.writer.on_commit = committed
    store.writer.on_batch = metrics.batch
    store.on_renamed = partial(bus.announce, topics.NAMES)


def renamed(rooms: Rooms, authenticator: Authenticator, member: Member) -> None:
    """Apply a renaming that happened here or in another process."""
    authenticator.forget(member)
    rooms.creation.rename(member)


def add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> Callable[[ASGIApp], ASGIApp]:
    """Put the layers around the pages; return the one that sockets have, too."""
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.allowed_origins, allow_credentials=True)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=largest_form(settings.message_length))
    hosts, origins = settings.allowed_hosts, settings.allowed_origins
    secured = partial(SecurityMiddleware, allowed_hosts=hosts, allowed_origins=origins, metrics=metrics)
    app.add_middleware(secured)
    return secured


def __getattr__(name: str) -> Any:
    # `uvicorn app.main:app` asks for `app`. It is made only then: reading the settings and the key file is
    # nothing that an import should do.
    if name != "app":
        raise AttributeError(name)
    settings = Settings()
    set_up_logging(settings.log_level, settings.log_format)
    return create_app(settings)
