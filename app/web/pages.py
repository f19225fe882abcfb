"""HTTP: the pages, the forms where no socket is, and what operators ask."""

import asyncio
from dataclasses import replace
from http import HTTPStatus
from math import ceil
from secrets import compare_digest, token_urlsafe
from shutil import disk_usage
from time import monotonic
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.chat.frames import KEY
from app.chat.limits import Limits
from app.chat.limits import is_among as is_address_among
from app.chat.messages import Draft, Member, Refused, Room
from app.chat.timeline import Gap
from app.delivery.http_protocol import STOPPING
from app.html.etags import Current, Representation, is_among, represent
from app.html.fragments import HOLE, Fragments, RoomView, time_zones
from app.metrics import Metrics
from app.rooms.rooms import NEWEST, Rooms, new_keys
from app.settings import Settings
from app.store.store import SESSION_ENDED, Store, StoreUnavailable
from app.web.forms import MEDIA_TYPE, read_form
from app.web.identity import HOST_SALT, SALT, Session
from app.web.security import (
    COOKIE,
    ENTER_CHOICES,
    ENTER_COOKIE,
    HEADERS,
    HOST_COOKIE,
    POLICY,
    Doorkeeper,
    add_headers,
    address_of,
    cookies_of,
    delete_cookie,
    enter_of,
    is_secure,
)

log = structlog.get_logger("parlor.pages")

NAME_LOST = SESSION_ENDED
CACHE = "private, no-cache"  # a page is somebody's own, and old the moment somebody writes
LEAST_FREE = 4_000_000  # bytes on the disk: SQLite needs a page for each message, and the log of what it writes
PAGE_KEYS = 20  # drafts that one can write before the first receipt
# The keys in a member's page are for one composer. A browser may show what it has when it goes back, however old that
# is, but not what "never matches" (RFC 9111, 4.1 and 6). `no-store` would do it, too, and have browsers forget the
# live page that was left, with what was being written in it.
ALONE = "*"
STATUS = {
    "no-name": 403,
    "no-session": 403,
    "too-fast": 429,
    "too-fast-address": 429,
    "too-many": 429,
    "too-many-rooms": 429,
    "name-taken": 409,
    "name-reserved": 409,
    "room-taken": 409,
    "rooms-full": 409,
    "unavailable": 503,
}  # of a refusal; else 422
SENTENCES = {
    404: "There is nothing at this address. The room may have been removed, or the link is incomplete.",
    400: "The server could not read this request.",
    403: "Metrics are not public. The operator can allow your address with PARLOR_METRICS_FROM.",
    405: "This address does not accept this kind of request.",
    413: "This request is too large.",
    415: "The server could not read this request: it accepts only forms (application/x-www-form-urlencoded).",
    422: "The server could not read this form.",
    429: "Too many requests from your address. Wait a moment and try again.",
    500: "Something went wrong on the server, and the error was logged. Your earlier messages are safe.",
    503: "The database is unavailable. Try again in a moment.",
}

Position = Annotated[int, Query(ge=1, le=NEWEST)]


async def _read_form(request: Request) -> dict[str, str]:
    """Return the posted form. Raises the answers 415 and 422 where there is none."""
    try:
        body = await request.body()
    except ClientDisconnect:
        raise HTTPException(400) from None  # who is told that has gone
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if body and media_type != MEDIA_TYPE:
        raise HTTPException(415)
    try:
        return read_form(body)
    except ValueError:
        raise HTTPException(422) from None


Form = Annotated[dict[str, str], Depends(_read_form)]


class Pages:
    """Answers HTTP requests."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        rooms: Rooms,
        fragments: Fragments,
        doorkeeper: Doorkeeper,
        metrics: Metrics,
        limits: Limits,
    ) -> None:
        self._settings = settings
        self._store = store
        self._rooms = rooms
        self._fragments = fragments
        self._doorkeeper = doorkeeper
        self._metrics = metrics
        self._limits = limits
        self._newest = Current(self._represented)  # pages of readers, by room

    def router(self) -> APIRouter:
        """Return the routes of the contract."""
        router = APIRouter(default_response_class=HTMLResponse)
        readable = ["GET", "HEAD"]
        counted = [Depends(self._count_read)]
        router.add_api_route("/", self.lobby, methods=readable, dependencies=counted)
        router.add_api_route("/rooms/{slug}", self.room, methods=readable, dependencies=counted)
        router.add_api_route("/rooms/{slug}/messages", self.older, methods=readable, dependencies=counted)
        router.add_api_route("/rooms/{slug}/gap", self.gap, methods=readable, dependencies=counted)
        router.add_api_route("/rooms/{slug}/messages", self.say, methods=["POST"], dependencies=counted)
        router.add_api_route("/rooms", self.create, methods=["POST"], dependencies=counted)
        router.add_api_route("/name", self.take_name, methods=["POST"], dependencies=counted)
        router.add_api_route("/sign-out", self.sign_out, methods=["POST"], dependencies=counted)
        router.add_api_route("/healthz", self.alive, methods=readable)
        router.add_api_route("/readyz", self.ready, methods=readable)
        router.add_api_route("/metrics", self.figures, methods=readable)
        return router

    # Reading

    async def lobby(self, request: Request, before: Position = NEWEST) -> Response:
        """The lobby's page."""
        return await self._page(request, self._rooms.lobby, before)

    async def room(self, request: Request, slug: str, before: Position = NEWEST) -> Response:
        """A room's page: complete without a socket."""
        return await self._page(request, await self._find(slug), before)

    async def older(self, request: Request, slug: str, before: Position) -> Response:
        """Older messages, for htmx to put on top."""
        room, zone = await self._find(slug), await self._zone(request)
        page = await self._rooms.page(room, zone, before)
        return _answer(request, _representation(self._fragments.older(room, page, zone, HOLE)))

    async def gap(
        self, request: Request, slug: str, between: Annotated[str, Query(pattern=r"^\d{1,18}-\d{1,18}$")]
    ) -> Response:
        """What a page lacks between two positions, for htmx to put in its place."""
        room, zone = await self._find(slug), await self._zone(request)
        gap = Gap(*map(int, between.split("-")))
        if gap.size < 1:
            raise HTTPException(422)
        entries, remaining = await self._rooms.fill(room, zone, gap)
        return _answer(request, _representation(self._fragments.filled(gap, remaining, entries, zone)))

    # Writing, where no socket is

    async def say(self, request: Request, slug: str, form: Form) -> Response:
        """Say something, then go back to the room."""
        message, key = form.get("message", ""), form.get("key", "")
        if key and not KEY.fullmatch(key):
            raise HTTPException(422)
        room, member = await self._find(slug), await self._doorkeeper.member(request)
        try:
            await self._rooms.post(room, member, Draft(message, key or new_keys(1)[0]), address_of(request))
        except Refused as refusal:
            return await self._refuse(request, room, refusal, text=message)
        return _see_other(room)

    async def create(self, request: Request, form: Form) -> Response:
        """Make a room, then go there. `room` is where the form stands, to say there what was wrong with it."""
        name, room = form.get("name", ""), form.get("room", "")
        try:
            made = await self._rooms.create(await self._doorkeeper.member(request), name, address_of(request))
        except Refused as refusal:
            here = self._rooms.find(room) or self._rooms.lobby
            return await self._refuse(request, here, refusal, room_name=name)
        return _see_other(made)

    async def take_name(self, request: Request, form: Form) -> Response:
        """Become a member, or take another name; then go back to `room`, where the form stands."""
        name, time_zone, room = form.get("name", ""), form.get("time_zone", ""), form.get("room", "")
        here = self._rooms.find(room) or self._rooms.lobby
        member = await self._doorkeeper.member(request)
        try:
            zone = self._chosen_zone(time_zone, member)
            renamed = await self._rooms.take_name(member, name, zone, address_of(request))
        except Refused as refusal:
            if member:
                self._doorkeeper.forget(member)
            return await self._refuse(request, here, refusal, name=name, time_zone=time_zone)
        finally:
            if member:
                self._doorkeeper.forget(member)
        log.info("renamed" if member else "named", member=renamed.id)
        response = _see_other(here)
        self._set_cookie(request, response, renamed)
        if form.get("enter") in ENTER_CHOICES:
            self._put(request, response, ENTER_COOKIE, form["enter"])
        elif "enter" in form:
            delete_cookie(response, ENTER_COOKIE)
        return response

    async def sign_out(self, request: Request, form: Form) -> Response:
        """Be nobody again, in this browser and wherever else this cookie is; then go back to `room`."""
        if member := await self._doorkeeper.member(request):
            try:
                await self._rooms.sign_out(member)
            finally:
                self._doorkeeper.forget(member)
            log.info("signed out", member=member.id)
        response = _see_other(self._rooms.find(form.get("room", "")) or self._rooms.lobby)
        for cookie in cookies_of(request):
            delete_cookie(response, cookie)
        return response

    def _chosen_zone(self, time_zone: str, member: Member | None) -> str:
        if not time_zone:
            return self._zone_of(member)
        if time_zone not in (*time_zones(), self._settings.time_zone):
            raise Refused("time-zone", "Unknown time zone. Choose one from the list.")
        return time_zone

    # For operators

    async def alive(self) -> Response:
        """Whether the process runs."""
        return PlainTextResponse("alive\n")

    async def ready(self, request: Request) -> Response:
        """Whether to send people here: it is not about to stop, the store answers, and others can be seen."""
        if request.scope.get("state", {}).get(STOPPING):
            return PlainTextResponse("this process stops\n", 503)
        if not self._rooms.sees():
            return PlainTextResponse("the log is out of sight\n", 503)
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
        """All figures, for Prometheus, and for nobody else."""
        if not self._may_see_figures(request):
            raise HTTPException(403)
        self._metrics.rooms.set(len(self._rooms.all()))
        self._metrics.active_rooms.set(len(self._rooms.hub.audiences()))
        self._metrics.waiting.set(self._store.waiting)
        self._metrics.tasks.set(len(asyncio.all_tasks()))
        self._metrics.buckets.set(self._rooms.remembered)
        self._metrics.bus.behind.set(self._rooms.behind)
        return Response(self._metrics.text(), media_type=self._metrics.content_type)

    def _may_see_figures(self, request: Request) -> bool:
        token = self._settings.metrics_token
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        is_told = bool(token) and scheme.lower() == "bearer"
        if token and is_told and compare_digest(given.encode(), token.get_secret_value().encode()):
            return True
        return is_address_among(request.client.host if request.client else "", self._settings.metrics_from)

    # What they share

    async def _count_read(self, request: Request) -> None:
        """Raise the answer 429 where an address asks for more than it may."""
        wait = self._limits.reads.take(address_of(request), monotonic())
        if wait:
            self._metrics.refused("reads")
            raise HTTPException(429, headers={"Retry-After": str(ceil(wait))})

    async def _find(self, slug: str) -> Room:
        room = await self._rooms.look_up(slug)
        if room is None:
            raise HTTPException(404)
        return room

    async def _zone(self, request: Request) -> str:
        return self._zone_of(await self._doorkeeper.member(request))

    def _zone_of(self, member: Member | None) -> str:
        return member.time_zone if member else self._settings.time_zone

    async def _refuse(self, request: Request, room: Room, refusal: Refused, **entered: str) -> Response:
        """Return the room's page with what was `entered` still in its form, and the reason beside it."""
        self._metrics.refused(refusal.reason)
        session = await self._doorkeeper.session(request)
        view = replace(await self._view(request, room, session), refusal=refusal, entered=entered)
        response = self._own(request, view, STATUS.get(refusal.reason, 422))
        self._keep(request, response, session)
        if refusal.wait:
            response.headers["Retry-After"] = str(ceil(refusal.wait))
        return response

    async def _page(self, request: Request, room: Room, before: int) -> Response:
        session = await self._doorkeeper.session(request)
        view = await self._view(request, room, session, before)
        response = self._own(request, view) if view.member else self._shared(request, view)
        self._keep(request, response, session)
        return response

    def _own(self, request: Request, view: RoomView, status: int = 200) -> Response:
        """Return a page that is for this request alone: it has keys for what is written in it."""
        keys, nonce = new_keys(PAGE_KEYS), request.state.nonce
        response = _html(self._fragments.room(replace(view, keys=keys, nonce=nonce)), status)
        response.headers["Vary"] = ALONE
        return response

    def _shared(self, request: Request, view: RoomView) -> Response:
        """Return a page that is the same for everybody without a name."""
        is_newest = view.is_newest
        return _answer(request, self._newest.of(view.room.id, view) if is_newest else self._represented(view))

    def _represented(self, view: RoomView) -> Representation:
        return _representation(self._fragments.room(view))

    async def _view(self, request: Request, room: Room, session: Session | None, before: int = NEWEST) -> RoomView:
        """Return what there is to see in a room. It has neither keys nor a nonce."""
        member = session.member if session else None
        zone = self._zone_of(member)
        page = await self._rooms.page(room, zone, before)
        return RoomView(
            room=room,
            rooms=self._rooms.all(),
            members=await self._rooms.present(room),
            member=member,
            page=page,
            cursor=self._rooms.cursor(page.position),
            zone=zone,
            keys=(),
            nonce=HOLE,
            is_newest=before == NEWEST,
            notice=NAME_LOST if cookies_of(request) and not session else "",
            enter=enter_of(request) if member else "",
        )

    def _keep(self, request: Request, response: Response, session: Session | None) -> None:
        """Renew the cookie of somebody who keeps coming, long before it or its key ends; delete one that is broken."""
        if session:
            if session.is_due:
                self._set_cookie(request, response, session.member)
        # From before a renaming it stays: a page that loads during one would delete the new cookie.
        elif (cookies := cookies_of(request)) and not self._doorkeeper.read(request):
            delete_cookie(response, cookies[0])

    def _set_cookie(self, request: Request, response: Response, member: Member) -> None:
        name, salt = (HOST_COOKIE, HOST_SALT) if is_secure(request.scope) else (COOKIE, SALT)
        self._put(request, response, name, self._doorkeeper.signer.sign(member, salt))

    def _put(self, request: Request, response: Response, name: str, value: str) -> None:
        lifetime, secure = int(self._settings.session_lifetime.total_seconds()), is_secure(request.scope)
        response.set_cookie(name, value, max_age=lifetime, httponly=True, samesite="lax", secure=secure)


def add_error_pages(app: FastAPI, fragments: Fragments) -> None:
    """Have every error answered by a page that says what happened and leads back."""

    async def show(request: Request, error: Exception) -> Response:
        status = _status(error)
        if status >= 500:
            # Not what the error says: that may be what somebody said.
            log.error("failed", path=request.url.path, error=type(error).__name__)
        nonce = getattr(request.state, "nonce", token_urlsafe(16))
        phrase = HTTPStatus(status).phrase
        response = _html(fragments.error(status, phrase, SENTENCES.get(status, SENTENCES[422]), nonce), status)
        response.headers.update(getattr(error, "headers", None) or {})
        # What nobody expected is answered outside of all middleware.
        add_headers(response.headers, nonce)
        return response

    for kind in (HTTPException, RequestValidationError, StoreUnavailable, Exception):
        app.add_exception_handler(kind, show)


def _status(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, RequestValidationError):
        return 422
    return 503 if isinstance(error, StoreUnavailable) else 500


def _representation(html: str) -> Representation:
    return represent(html, HOLE, f"{POLICY}{HEADERS}")


def _answer(request: Request, representation: Representation) -> Response:
    """Return what a browser is told that may have this already: that it is still so, or all of it."""
    headers = {"Cache-Control": CACHE, "ETag": representation.etag, "Vary": "Cookie"}
    if is_among(representation.etag, request.headers.get("If-None-Match", "")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return HTMLResponse(representation.with_nonce(request.state.nonce), headers=headers)


def _html(text: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(text, status, {"Cache-Control": CACHE})


def _see_other(room: Room) -> Response:
    return RedirectResponse(f"/rooms/{room.slug}", 303)
