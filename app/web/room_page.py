"""A room's page: a member's own, or the cached one that everybody without a name shares."""

from dataclasses import replace
from math import ceil

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from app.chat.messages import Member, Refused, Room
from app.chat.timeline import Page
from app.html.etags import Representation, RepresentationCache
from app.html.fragments import HOLE, Fragments
from app.html.views import RoomView
from app.metrics import Metrics
from app.rooms.posting import new_keys
from app.rooms.reading import NEWEST
from app.rooms.rooms import Rooms
from app.settings import Settings
from app.store.store import SESSION_ENDED
from app.web.authentication import Authenticator
from app.web.cookies import Cookies, cookies_of, delete_cookie, enter_of
from app.web.identity import Session
from app.web.responses import cached_response, html_response, representation

PAGE_KEYS = 20  # drafts that one can write before the first receipt
# The keys in a member's page are for one composer. Going back, a browser may show a stored page, however old it
# is, but not what "never matches" (RFC 9111, 4.1 and 6). `no-store` would do it, too, and have browsers forget the
# live page that was left, with the text in its composer.
ALONE = "*"
STATUS = {
    "no-name": 403,
    "no-session": 403,
    "too-fast": 429,
    "too-fast-address": 429,
    "everybody": 429,
    "too-many": 429,
    "too-many-rooms": 429,
    "name-taken": 409,
    "name-reserved": 409,
    "room-taken": 409,
    "rooms-full": 409,
    "not-yours": 403,
    "too-late": 403,
    "deleted": 409,
    "too-many-reactions": 409,
    "no-message": 404,
    "unavailable": 503,
}  # of a refusal; else 422


class RoomPage:
    """Renders the page of a room."""

    def __init__(
        self,
        settings: Settings,
        authenticator: Authenticator,
        cookies: Cookies,
        rooms: Rooms,
        fragments: Fragments,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._rooms = rooms
        self._fragments = fragments
        self._authenticator = authenticator
        self._cookies = cookies
        self._metrics = metrics
        self._newest = RepresentationCache(self._represented)  # pages of readers, by room
        rooms.delivery.on_deleted = self._newest.forget

    async def show(self, request: Request, room: Room, before: int = NEWEST) -> Response:
        """Return the page, with the newest messages or those `before` a position."""
        session = await self._authenticator.session(request)
        page = await self._rooms.history.page(room, self._zone_of(session), before)
        return self._answer(request, session, await self._view(request, room, session, page, before == NEWEST))

    async def show_message(self, request: Request, room: Room, position: int) -> Response:
        """Return the page around the message at `position`. Raises the answer 404."""
        session = await self._authenticator.session(request)
        page = await self._rooms.history.around(room, self._zone_of(session), position)
        if page is None:
            raise HTTPException(404)
        view = await self._view(request, room, session, page, is_newest=False)
        about = next(entry.message for entry in page.entries if entry.message.position == position)
        is_own = view.member is not None and view.member.id == about.author_id
        versions = await self._rooms.history.earlier_versions(room, about) if is_own else ()
        return self._answer(request, session, replace(view, about=about, versions=versions))

    def _answer(self, request: Request, session: Session | None, view: RoomView) -> Response:
        response = self._own(request, view) if view.member else self._shared(request, view)
        self._keep(request, response, session)
        return response

    async def find(self, slug: str) -> Room:
        """Return the room at an address. Raises the answer 404."""
        room = await self._rooms.directory.look_up(slug)
        if room is None:
            raise HTTPException(404)
        return room

    async def member(self, request: Request) -> Member | None:
        """Return who makes a request."""
        return await self._authenticator.member(request)

    async def zone(self, request: Request) -> str:
        """Return the time zone of a request."""
        return self.zone_of(await self.member(request))

    def zone_of(self, member: Member | None) -> str:
        """Return the time zone of a member, or that of everybody else."""
        return member.time_zone if member else self._settings.time_zone

    async def refuse(self, request: Request, room: Room, refusal: Refused, **entered: str) -> Response:
        """Return the room's page with the refused form as it was `entered`, and the reason."""
        self._metrics.refused(refusal.reason)
        session = await self._authenticator.session(request)
        page = await self._rooms.history.page(room, self._zone_of(session))
        view = replace(await self._view(request, room, session, page), refusal=refusal, entered=entered)
        response = self._own(request, view, STATUS.get(refusal.reason, 422))
        self._keep(request, response, session)
        if refusal.wait:
            response.headers["Retry-After"] = str(ceil(refusal.wait))
        return response

    def _own(self, request: Request, view: RoomView, status: int = 200) -> Response:
        """Return a member's own page, with idempotency keys. It is never cached."""
        keys, nonce = new_keys(PAGE_KEYS), request.state.nonce
        response = html_response(self._fragments.room(replace(view, keys=keys, nonce=nonce)), status)
        response.headers["Vary"] = ALONE
        return response

    def _shared(self, request: Request, view: RoomView) -> Response:
        """Return a page that is the same for everybody without a name."""
        is_newest = view.is_newest
        return cached_response(request, self._newest.of(view.room.id, view) if is_newest else self._represented(view))

    def _represented(self, view: RoomView) -> Representation:
        return representation(self._fragments.room(view))

    def _zone_of(self, session: Session | None) -> str:
        return self.zone_of(session.member if session else None)

    async def _view(
        self, request: Request, room: Room, session: Session | None, page: Page, is_newest: bool = True
    ) -> RoomView:
        """Return the view of a room, without keys and nonce."""
        member = session.member if session else None
        history = self._rooms.history
        newer = None if is_newest else await history.gap(room, page.last, page.position + 1)
        return RoomView(
            room=room,
            rooms=self._rooms.directory.all(),
            members=await self._rooms.present(room),
            member=member,
            page=page,
            cursor=history.cursor(page.position),
            zone=self.zone_of(member),
            keys=(),
            nonce=HOLE,
            is_newest=is_newest,
            newer=newer,
            notice=SESSION_ENDED if cookies_of(request) and not session else "",
            enter=enter_of(request) if member else "",
        )

    def _keep(self, request: Request, response: Response, session: Session | None) -> None:
        """Renew a cookie that is due; delete one that is broken."""
        if session:
            if session.is_due:
                self._cookies.set_member(request, response, session.member)
        # From before a renaming it stays: a page that loads during one would delete the new cookie.
        elif (cookies := cookies_of(request)) and not self._authenticator.read(request):
            delete_cookie(response, cookies[0])
