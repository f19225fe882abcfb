"""For operators: liveness, readiness, metrics."""

import asyncio
from secrets import compare_digest
from shutil import disk_usage

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException

from app.chat.limits import is_among
from app.delivery.http_protocol import STOPPING
from app.metrics import Metrics
from app.rooms.rooms import Rooms
from app.settings import Settings
from app.store.errors import StoreUnavailable
from app.store.store import Store

LEAST_FREE = 4_000_000  # bytes on the disk, for SQLite's pages and its write-ahead log


class Health:
    """Answers /healthz, /readyz and /metrics."""

    def __init__(self, settings: Settings, store: Store, rooms: Rooms, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._rooms = rooms
        self._metrics = metrics

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        for path, answer in (("/healthz", self.alive), ("/readyz", self.ready), ("/metrics", self.figures)):
            router.add_api_route(path, answer, methods=["GET", "HEAD"])
        return router

    async def alive(self) -> Response:
        """Whether the process runs."""
        return PlainTextResponse("alive\n")

    async def ready(self, request: Request) -> Response:
        """Whether to send people here: it is not about to stop, the store answers, and others can be seen."""
        if request.scope.get("state", {}).get(STOPPING):
            return PlainTextResponse("this process stops\n", 503)
        if not self._rooms.cluster.is_current():
            return PlainTextResponse("the database cannot be polled\n", 503)
        try:
            await self._store.check()
        except StoreUnavailable:
            return PlainTextResponse("the store does not answer\n", 503)
        if (folder := self._settings.database_folder) and disk_usage(folder).free < LEAST_FREE:
            return PlainTextResponse("the disk is full\n", 503)
        if folder and self._store.fails():
            return PlainTextResponse("the store cannot be written\n", 503)
        return PlainTextResponse("ready\n")

    async def figures(self, request: Request) -> Response:
        """All metrics, for Prometheus. Raises the answer 403."""
        if not self._may_see_figures(request):
            raise HTTPException(403)
        self._metrics.rooms.set(len(self._rooms.directory.all()))
        self._metrics.active_rooms.set(len(self._rooms.hub.audiences()))
        self._metrics.waiting.set(self._store.writer.waiting)
        self._metrics.tasks.set(len(asyncio.all_tasks()))
        self._metrics.buckets.set(len(self._rooms.limits))
        self._metrics.bus.behind.set(self._rooms.delivery.behind)
        return Response(self._metrics.text(), media_type=self._metrics.content_type)

    def _may_see_figures(self, request: Request) -> bool:
        token = self._settings.metrics_token
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        is_told = bool(token) and scheme.lower() == "bearer"
        if token and is_told and compare_digest(given.encode(), token.get_secret_value().encode()):
            return True
        return is_among(request.client.host if request.client else "", self._settings.metrics_from)
