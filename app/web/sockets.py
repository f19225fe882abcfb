"""The socket: accept, read, close. One connection is one call of `Sockets`."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from random import uniform
from time import monotonic as _now

import structlog
from fastapi import WebSocket, WebSocketDisconnect
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from app.chat.frames import (
    MOST_DRAFTS,
    ChangeMessage,
    Frame,
    Malformed,
    OpenEditor,
    Recheck,
    Resume,
    Say,
    StartReply,
    Typing,
    parse,
)
from app.chat.limits import Limits, Quota, ReadLimit
from app.chat.messages import Room
from app.delivery import websocket_protocol
from app.delivery.connection import CloseCode, Connection
from app.delivery.hub import Audience
from app.delivery.receive_queue import NOTHING
from app.delivery.transport import AsgiTransport
from app.html.fragments import Fragments
from app.metrics import Metrics
from app.rooms.creating import GONE, OUTDATED, REMOVED
from app.rooms.rooms import Rooms
from app.settings import Settings
from app.store.errors import StoreUnavailable
from app.store.store import LOBBY, SESSION_ENDED
from app.web.authentication import Authenticator
from app.web.cookies import cookies_of
from app.web.security import address_of
from app.web.writing import AnyTransport, writing

log = structlog.get_logger("parlor.websocket")

ADDRESS = re.compile(r"/ws(/(?P<slug>[^/]+))?")

# Why uvicorn ended a connection, by its close code. https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
BROKEN = {1002: "not-websocket", 1007: "not-utf-8", CloseCode.TOO_BIG: "frame-too-big"}
LARGEST_AT_ONCE = 20  # times the longest frame that one address may have begun and not ended, in bytes
# Reasons to close a healthy connection, and their codes.
ENDINGS = {OUTDATED: CloseCode.RESTART, GONE: CloseCode.REFUSED}
UNREADY_SECONDS = (1.0, 3.0)  # until a socket is closed if the store does not answer
LEAST_REST = 0.25  # seconds; a shorter wait is not worth waking up for
CLOSE_SECONDS = 1.0  # for a close frame to be taken, before the socket is dropped


class Sockets:
    """Serves the sockets of all rooms."""

    def __init__(
        self,
        settings: Settings,
        rooms: Rooms,
        fragments: Fragments,
        authenticator: Authenticator,
        metrics: Metrics,
        limits: Limits,
    ) -> None:
        self._settings = settings
        self._rooms = rooms
        self._fragments = fragments
        self._authenticator = authenticator
        self._metrics = metrics
        self._limits = limits
        self._open = Quota(settings.connections_per_address)
        self._unread = Quota(settings.frame_length * LARGEST_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the socket at `/ws` (the lobby's) or `/ws/{slug}` until one side ends it. An ASGI application."""
        socket = WebSocket(scope, receive, send)
        found = ADDRESS.fullmatch(scope["path"].removeprefix(scope.get("root_path", "")))
        with suppress(WebSocketDisconnect):
            if found is None:
                await socket.close()
                return
            # Accepted before it can be turned away: only an open socket can be told why, and a refused handshake
            # looks like an outage to the browser, which would retry endlessly.
            await socket.accept()
            transport: AnyTransport = websocket_protocol.direct_transport(scope) or AsgiTransport(socket.send_text)
            try:
                await self._admit(socket, transport, await self._rooms.directory.look_up(found["slug"] or LOBBY))
            except StoreUnavailable as error:
                await self._put_off(socket, transport, error)

    async def _admit(self, socket: WebSocket, transport: AnyTransport, room: Room | None) -> None:
        address = address_of(socket)
        if room is None:
            await self._turn_away(socket, "no-room", CloseCode.REFUSED, "This room does not exist.")
        elif not self._open.acquire(address):
            sentence = "Too many windows are open from your address. This window will retry."
            await self._turn_away(socket, "connections", CloseCode.OVERLOADED, sentence)
        else:
            try:
                with self._metrics.connections.track_inprogress():
                    if await self._wait_for_turn(socket, transport, address):
                        await self._serve(socket, transport, room)
            finally:
                self._open.release(address)

    async def _wait_for_turn(self, socket: WebSocket, transport: AnyTransport, address: str) -> bool:
        """Wait until `address` may resume once more; return whether the browser is still there."""
        if wait := self._limits.resumes.take(address, _now()):
            self._metrics.refused("paced")
            await socket.send_text(self._fragments.notice(SLOWED, passes=True))
        while wait:
            if not await transport.rest(wait):
                return False
            wait = self._limits.resumes.take(address, _now())
        return True

    async def _turn_away(self, socket: WebSocket, reason: str, code: CloseCode, sentence: str) -> None:
        self._metrics.refused(reason)
        await socket.send_text(self._fragments.notice(sentence, passes=True))
        await self._drop(socket, code)

    async def _put_off(self, socket: WebSocket, transport: AnyTransport, error: StoreUnavailable) -> None:
        """Make the browser reconnect in a moment: the store does not answer."""
        log.error("not opened", error=str(error))
        if await _hesitate(transport):
            await self._turn_away(socket, "unavailable", CloseCode.OVERLOADED, UNREADY)

    async def _serve(self, socket: WebSocket, transport: AnyTransport, room: Room) -> None:
        try:
            connection = await self._connect(socket, transport)
            audience = await self._rooms.resumption.enter(room, connection)
        except StoreUnavailable as error:
            await self._put_off(socket, transport, error)
            return
        member_id = connection.member.id if connection.member else None
        log.debug("joined", room=room.slug, member=member_id)
        try:
            async with writing(transport, connection):
                await self._converse(socket, transport, audience, connection)
        finally:
            self._rooms.resumption.leave(audience, connection)
            log.debug("left", room=room.slug, member=member_id)

    async def _connect(self, socket: WebSocket, transport: AnyTransport) -> Connection:
        # A view of its own: a request caches its parts, and the socket's would stay in memory.
        member = await self._authenticator.member(HTTPConnection(socket.scope))
        zone = member.time_zone if member else self._settings.time_zone
        limit, stall = self._settings.outbox_length, self._settings.stall_seconds
        return Connection(member, zone, transport, limit, stall, address_of(socket))

    async def _converse(
        self, socket: WebSocket, transport: AnyTransport, audience: Audience, connection: Connection
    ) -> None:
        """Read and write until the browser leaves, or has to be cut off."""
        reading = self._limits.reading(connection.address, _now())
        if isinstance(transport, websocket_protocol.WebSocketProtocol):
            transport.pace(reading, self._unread, connection.address)
        async with connection.until_cut_off():
            await self._look_again(socket, transport, audience, connection)
            while await self._pace(transport, connection, reading.wait):
                if not await self._read(socket, transport, audience, connection, reading):
                    break
        if connection.cut_off in ENDINGS:
            log.info("ended", reason=connection.cut_off, room=audience.room.slug)
            await self._drop(socket, ENDINGS[connection.cut_off])
        elif connection.cut_off:
            self._metrics.cut(connection.cut_off)
            log.warning("cut off", reason=connection.cut_off, room=audience.room.slug)
            await self._drop(socket, CloseCode.OVERLOADED)

    async def _look_again(
        self, socket: WebSocket, transport: AnyTransport, audience: Audience, connection: Connection
    ) -> None:
        """Close a connection whose session or room ended while it was admitted; notify one whose session ended before.

        From here on, it is among those that are ended with them.
        """
        try:
            if self._rooms.directory.find(audience.room.slug) is None:
                connection.offer(self._fragments.notice(REMOVED))
                connection.cut(GONE)
            elif connection.member and not await self._authenticator.counts(connection.member):
                connection.cut(OUTDATED)
            elif not connection.member and cookies_of(HTTPConnection(socket.scope)):
                connection.offer(self._fragments.notice(SESSION_ENDED, join=audience.room))
        except StoreUnavailable as error:
            log.error("not looked up", error=str(error))
            if await _hesitate(transport):
                connection.cut("unavailable")

    async def _pace(self, transport: AnyTransport, connection: Connection, wait: Callable[[float], float]) -> bool:
        """Return when `wait`, given the time, no longer says to wait: whether the browser is still there.

        Until then nothing is read from this browser: the system's own buffers fill, and the sender has to wait.
        """
        told = False
        while seconds := wait(_now()):
            if not told:
                told = True
                self._metrics.refused("paced")
                connection.offer(self._fragments.notice(SLOWED, passes=True))
            # Without a least wait, all browsers of an address would wake up for the same token.
            if not await transport.rest(max(seconds, LEAST_REST)):
                return False
        return True

    async def _read(
        self, socket: WebSocket, transport: AnyTransport, audience: Audience, connection: Connection, reading: ReadLimit
    ) -> bool:
        """Read and handle one frame; return whether there may be another. Nothing of it stays in memory."""
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            if reason := BROKEN.get(event.get("code", 0)):
                self._metrics.refused(reason)
            return False
        if event.keys() == NOTHING.keys():
            return True
        text = event.get("text")
        if not isinstance(transport, websocket_protocol.WebSocketProtocol):  # which has charged for the frame already
            reading.charge(_now(), 1, len(event["bytes"] if text is None else text.encode("utf-8", "replace")))
        frame = parse(text, self._settings.frame_length) if text is not None else BINARY
        if isinstance(frame, Say | Resume):
            reading.charge(_now(), max(0, len(frame.drafts) - 1), 0)  # a draft is as much work as a frame
        del event, text
        return await self._take(frame, transport, audience, connection)

    async def _take(self, frame: Frame, transport: AnyTransport, audience: Audience, connection: Connection) -> bool:
        if isinstance(frame, Say | Resume) and frame.left_out:
            self._metrics.refused("too-many-drafts")
            connection.offer(self._fragments.notice(LEFT_OUT))
        try:
            match frame:
                case Malformed(reason, sentence):
                    self._metrics.refused(reason)
                    connection.offer(self._fragments.notice(sentence))
                case Say(drafts, is_open):
                    await self._rooms.posting.say(audience, connection, drafts, is_open)
                case Resume(cursor, drafts, since):
                    if drafts:
                        await self._rooms.posting.say(audience, connection, drafts, tries_again=True)
                    if connection in audience:  # once more: the first time was waited for before it was let in
                        resumes, address = self._limits.resumes, connection.address
                        if not await self._pace(transport, connection, lambda now: resumes.take(address, now)):
                            return False
                    await self._rooms.resumption.resume(audience, connection, cursor, since)
                case Recheck(since):
                    await self._rooms.resumption.recheck(audience, connection, since)
                case Typing(text):
                    await self._rooms.typing.take(audience, connection, text)
                case ChangeMessage() | StartReply() | OpenEditor():
                    await self._rooms.changing.take(audience, connection, frame)
        except StoreUnavailable as error:
            # Only a resume or a recheck comes here: the page cannot be completed now, and has to come back.
            log.error("not resumed", room=audience.room.slug, error=str(error))
            connection.offer(self._fragments.notice(UNREADY, passes=True))
            if await _hesitate(transport):
                connection.cut("unavailable")
        return True

    async def _drop(self, socket: WebSocket, code: CloseCode) -> None:
        """Close a socket that may not read any more: send the code if it listens, and drop it in any case."""
        if transport := websocket_protocol.direct_transport(socket.scope):
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, transport.abort)
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close(code)


async def _hesitate(transport: AnyTransport) -> bool:
    """Wait a moment, by chance: a browser whose socket opened comes back at once, and all of them together.

    Returns whether it is still there.
    """
    return await transport.rest(uniform(*UNREADY_SECONDS))  # noqa: S311 - no secret


LEFT_OUT = f"Only the first {MOST_DRAFTS} messages were read. Send the rest again."
UNREADY = "The server is not ready. Retrying…"
SLOWED = "You are sending a lot at once. The server reads one message at a time."
BINARY = Malformed("binary", "The server could not read this frame: it must be text, not binary.")
