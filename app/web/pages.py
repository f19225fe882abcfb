"""Reading over HTTP: a room's page, older messages, the messages of a gap."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.params import Depends as Dependency
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from app.chat import emojis
from app.chat.search import LONGEST_QUERY
from app.chat.timeline import Gap
from app.html.fragments import HOLE, Fragments
from app.html.views import SearchView
from app.rooms.reading import NEWEST
from app.rooms.rooms import Rooms
from app.web.responses import cached_response, representation
from app.web.room_page import RoomPage

MOST_EMOJI = 60  # found
Position = Annotated[int, Query(ge=1, le=NEWEST)]
Searched = Annotated[str, Query(max_length=LONGEST_QUERY)]
Order = Annotated[str, Query(pattern="^(newest|best)$")]


class Pages:
    """Answers requests that read."""

    def __init__(self, rooms: Rooms, fragments: Fragments, page: RoomPage) -> None:
        self._rooms = rooms
        self._fragments = fragments
        self._page = page

    def router(self, counted: Dependency) -> APIRouter:
        """Return the routes, whose requests are `counted`."""
        router = APIRouter(default_response_class=HTMLResponse, dependencies=[counted])
        routes: dict[str, Callable[..., Any]] = {
            "/": self.lobby,
            "/rooms/{slug}": self.room,
            "/rooms/{slug}/messages": self.older,
            "/rooms/{slug}/gap": self.gap,
            "/rooms/{slug}/{position:int}": self.message,
            "/emoji": self.emoji,
            "/mentions": self.mentions,
            "/search": self.search,
            "/search/results": self.results,
        }
        for path, answer in routes.items():
            router.add_api_route(path, answer, methods=["GET", "HEAD"])
        return router

    async def lobby(self, request: Request, before: Position = NEWEST) -> Response:
        """The lobby's page."""
        return await self._page.show(request, self._rooms.directory.oldest, before)

    async def room(self, request: Request, slug: str, before: Position = NEWEST) -> Response:
        """A room's page: complete without a socket."""
        return await self._page.show(request, await self._page.find(slug), before)

    async def message(self, request: Request, slug: str, position: int) -> Response:
        """A room's page around a message."""
        if not 0 < position <= NEWEST:
            raise HTTPException(404)
        return await self._page.show_message(request, await self._page.find(slug), position)

    async def older(self, request: Request, slug: str, before: Position) -> Response:
        """Older messages, for htmx to put on top."""
        room, zone = await self._page.find(slug), await self._page.zone(request)
        page = await self._rooms.history.page(room, zone, before)
        cursor = self._rooms.history.cursor(page.position)
        return cached_response(request, representation(self._fragments.older(room, page, cursor, zone, HOLE)))

    async def gap(
        self, request: Request, slug: str, between: Annotated[str, Query(pattern=r"^\d{1,18}-\d{1,18}$")]
    ) -> Response:
        """The messages of a gap, for htmx to put in its place."""
        room, zone = await self._page.find(slug), await self._page.zone(request)
        gap = Gap(*map(int, between.split("-")))
        if gap.before - gap.after < 2:
            raise HTTPException(422)
        page, remaining = await self._rooms.history.fill(room, zone, gap)
        cursor = self._rooms.history.cursor(page.position)
        filled = self._fragments.filled(room, gap, remaining, page, cursor, zone, HOLE)
        return cached_response(request, representation(filled))

    async def search(
        self, request: Request, q: Searched = "", by: Order = "newest", before: Position | None = None
    ) -> Response:
        """The search page, with results from all rooms."""
        view = await self._search(request, q, by, before)
        return cached_response(request, representation(self._fragments.search(view)))

    async def mentions(self) -> Response:
        """What mentions one."""
        return RedirectResponse("/search?q=mentions:me", 303)

    async def results(self, request: Request, q: Searched = "", by: Order = "newest") -> Response:
        """The results alone, while somebody types."""
        view = await self._search(request, q, by, None)
        return cached_response(request, representation(self._fragments.results(view)))

    async def _search(self, request: Request, query: str, order: str, before: int | None) -> SearchView:
        member = await self._page.member(request)
        zone, is_ranked = self._page.zone_of(member), order == "best"
        results = await self._rooms.searching.find(query, member, zone, is_ranked, before)
        return SearchView(query, is_ranked, results, zone, HOLE)

    async def emoji(self, request: Request, q: Annotated[str, Query(max_length=emojis.LONGEST_QUERY)] = "") -> Response:
        """The emoji whose names fit, for the picker."""
        return cached_response(request, representation(self._fragments.emoji(emojis.search(q, MOST_EMOJI))))
