"""Forms over HTTP: messages without a socket, names, rooms."""

from collections.abc import Callable
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.params import Depends as Dependency
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.chat.changes import Edit
from app.chat.frames import CHANGES, KEY, Malformed, parse_position, read_change
from app.chat.messages import Draft, Member, Refused
from app.html.filters import time_zones
from app.rooms.posting import new_keys
from app.rooms.rooms import Rooms
from app.settings import Settings
from app.web.authentication import Authenticator
from app.web.cookies import ENTER_CHOICES, ENTER_COOKIE, Cookies, cookies_of, delete_cookie
from app.web.forms import MEDIA_TYPE, read_form
from app.web.responses import redirect
from app.web.room_page import RoomPage
from app.web.security import address_of

log = structlog.get_logger("parlor.pages")


async def _read_form(request: Request) -> dict[str, str]:
    """Return the posted form. Raises the answers 415 and 422."""
    try:
        body = await request.body()
    except ClientDisconnect:
        raise HTTPException(400) from None  # the client is gone
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if body and media_type != MEDIA_TYPE:
        raise HTTPException(415)
    try:
        return read_form(body)
    except ValueError:
        raise HTTPException(422) from None


Form = Annotated[dict[str, str], Depends(_read_form)]


class Posts:
    """Answers requests that change something."""

    def __init__(
        self, settings: Settings, rooms: Rooms, authenticator: Authenticator, cookies: Cookies, page: RoomPage
    ) -> None:
        self._settings = settings
        self._rooms = rooms
        self._authenticator = authenticator
        self._cookies = cookies
        self._page = page

    def router(self, counted: Dependency) -> APIRouter:
        """Return the routes, whose requests are `counted`."""
        router = APIRouter(default_response_class=HTMLResponse, dependencies=[counted])
        routes: dict[str, Callable[..., Any]] = {
            "/rooms/{slug}/messages": self.say,
            "/rooms/{slug}/messages/{position:int}": self.change,
            "/rooms": self.create,
            "/name": self.take_name,
            "/sign-out": self.sign_out,
        }
        for path, answer in routes.items():
            router.add_api_route(path, answer, methods=["POST"])
        return router

    async def say(self, request: Request, slug: str, form: Form) -> Response:
        """Say something, then go back to the room."""
        message, key = form.get("message", ""), form.get("key", "")
        if key and not KEY.fullmatch(key):
            raise HTTPException(422)
        room, member = await self._page.find(slug), await self._authenticator.member(request)
        draft = Draft(message, key or new_keys(1)[0], parse_position(form.get("reply", "")))
        try:
            await self._rooms.posting.post(room, member, draft, address_of(request))
        except Refused as refusal:
            return await self._page.refuse(request, room, refusal, text=message)
        return redirect(room)

    async def change(self, request: Request, slug: str, position: int, form: Form) -> Response:
        """Change a message, then go back to it. `pick`, and a reaction, can name another one than the address."""
        asked = read_change({name: form[name] for name in CHANGES if name in form}, form.get("pick") or str(position))
        if isinstance(asked, Malformed):
            raise HTTPException(422)
        room, member = await self._page.find(slug), await self._authenticator.member(request)
        try:
            await self._rooms.changing.change(room, member, asked.position, asked.change, address_of(request))
        except Refused as refusal:
            text = asked.change.body if isinstance(asked.change, Edit) else ""
            return await self._page.refuse(request, room, refusal, text=text)
        return redirect(room, asked.position)

    async def create(self, request: Request, form: Form) -> Response:
        """Create a room, then redirect to it. If refused, show the page of `room`, where the form is."""
        name, room = form.get("name", ""), form.get("room", "")
        try:
            made = await self._rooms.creation.create(
                await self._authenticator.member(request), name, address_of(request)
            )
        except Refused as refusal:
            here = self._rooms.directory.find(room) or self._rooms.directory.oldest
            return await self._page.refuse(request, here, refusal, room_name=name)
        return redirect(made)

    async def take_name(self, request: Request, form: Form) -> Response:
        """Take a name, or rename; then go back to `room`, where the form is."""
        name, time_zone, room = form.get("name", ""), form.get("time_zone", ""), form.get("room", "")
        here = self._rooms.directory.find(room) or self._rooms.directory.oldest
        member = await self._authenticator.member(request)
        try:
            zone = self._chosen_zone(time_zone, member)
            renamed = await self._rooms.creation.take_name(member, name, zone, address_of(request))
        except Refused as refusal:
            if member:
                self._authenticator.forget(member)
            return await self._page.refuse(request, here, refusal, name=name, time_zone=time_zone)
        finally:
            if member:
                self._authenticator.forget(member)
        log.info("renamed" if member else "named", member=renamed.id)
        response = redirect(here)
        self._cookies.set_member(request, response, renamed)
        if form.get("enter") in ENTER_CHOICES:
            self._cookies.put(request, response, ENTER_COOKIE, form["enter"])
        elif "enter" in form:
            delete_cookie(response, ENTER_COOKIE)
        return response

    async def sign_out(self, request: Request, form: Form) -> Response:
        """Sign out, in every browser with this cookie; then go back to `room`."""
        if member := await self._authenticator.member(request):
            try:
                await self._rooms.creation.sign_out(member)
            finally:
                self._authenticator.forget(member)
            log.info("signed out", member=member.id)
        response = redirect(self._rooms.directory.find(form.get("room", "")) or self._rooms.directory.oldest)
        for cookie in cookies_of(request):
            delete_cookie(response, cookie)
        return response

    def _chosen_zone(self, time_zone: str, member: Member | None) -> str:
        if not time_zone:
            return self._page.zone_of(member)
        if time_zone not in (*time_zones(), self._settings.time_zone):
            raise Refused("time-zone", "Unknown time zone. Choose one from the list.")
        return time_zone
