"""The socket: accept, read, close. One connection is one call of `Sockets.room`."""

import asyncio
from contextlib import suppress
from typing import Any

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from app import wire
from app.connection import CloseCode, Connection
from app.fragments import Fragments
from app.frames import Malformed, Resume, Say, parse
from app.hub import Audience
from app.limits import Bucket
from app.messages import Room
from app.metrics import Metrics
from app.rooms import Rooms
from app.security import Doorkeeper, Turnstile
from app.settings import Settings
from app.store import LOBBY, StoreUnavailable

log = structlog.get_logger("parlor.websocket")

CLOSE_SECONDS = 1.0  # for a close frame to be taken, before the socket is dropped


class Sockets:
    """Serves the sockets of all rooms."""

    def __init__(
        self, settings: Settings, rooms: Rooms, fragments: Fragments, doorkeeper: Doorkeeper, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._rooms = rooms
        self._fragments = fragments
        self._doorkeeper = doorkeeper
        self._metrics = metrics
        self._turnstile = Turnstile(settings.connections_per_address)

    def router(self) -> APIRouter:
        """Return the routes `/ws` (the lobby's) and `/ws/{slug}`."""
        router = APIRouter()
        router.add_api_websocket_route("/ws", self.lobby)
        router.add_api_websocket_route("/ws/{slug}", self.room)
        return router

    async def lobby(self, socket: WebSocket) -> None:
        """Serve the lobby's socket."""
        await self.room(socket, LOBBY)

    async def room(self, socket: WebSocket, slug: str) -> None:
        """Serve a room's socket until one side ends it."""
        with suppress(WebSocketDisconnect):
            # Accepted before it can be turned away: only an open socket can be told why, and a refused handshake
            # looks like an outage to the browser, which would try again for ever.
            await socket.accept()
            await self._admit(socket, self._rooms.find(slug))

    async def _admit(self, socket: WebSocket, room: Room | None) -> None:
        address = socket.client.host if socket.client else ""
        if room is None:
            await self._turn_away(socket, "no-room", CloseCode.REFUSED, "There is no such room (any more).")
        elif not self._turnstile.enter(address):
            sentence = "Too many windows are open from your address. This one will try again."
            await self._turn_away(socket, "connections", CloseCode.OVERLOADED, sentence)
        else:
            try:
                with self._metrics.connections.track_inprogress():
                    await self._serve(socket, room)
            finally:
                self._turnstile.leave(address)

    async def _turn_away(self, socket: WebSocket, reason: str, code: CloseCode, sentence: str) -> None:
        self._metrics.refused(reason)
        log.info("refused", reason=reason)
        await socket.send_text(self._fragments.notice(sentence))
        await socket.close(code)

    async def _serve(self, socket: WebSocket, room: Room) -> None:
        try:
            member = await self._doorkeeper.member(socket)
            zone = member.time_zone if member else self._settings.time_zone
            connection = Connection(member, zone, self._settings.outbox_length, self._settings.stall_seconds)
            audience = await self._rooms.enter(room, connection)
        except StoreUnavailable as error:
            log.error("not opened", room=room.slug, error=str(error))
            await self._turn_away(socket, "unavailable", CloseCode.OVERLOADED, "The server is not ready. Trying again.")
            return
        log.info("joined", room=room.slug, member=member.id if member else None)
        try:
            await self._converse(socket, audience, connection)
        finally:
            self._rooms.leave(audience, connection)
            log.debug("left", room=room.slug, member=member.id if member else None)

    async def _converse(self, socket: WebSocket, audience: Audience, connection: Connection) -> None:
        """Read and write until the browser leaves, or has to be cut off."""
        reading = asyncio.create_task(self._read(socket, audience, connection))
        writing = asyncio.create_task(self._write(socket, connection))
        ends: set[asyncio.Future[Any]] = {reading, connection.cut_off}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            writing.cancel()
            reading.cancel()
            await asyncio.wait({reading, writing})
        if connection.cut_off.done():
            reason = connection.cut_off.result()
            self._metrics.cut(reason)
            log.warning("cut off", reason=reason, room=audience.room.slug)
            await self._drop(socket, CloseCode.OVERLOADED)
        else:
            reading.result()

    async def _write(self, socket: WebSocket, connection: Connection) -> None:
        # A browser that is gone is for `_read` to notice: what it said last still lies there to be read.
        try:
            await connection.write(socket.send_text)
        except WebSocketDisconnect:
            pass
        except Exception:
            log.exception("not written")
            connection.cut("failed")

    async def _read(self, socket: WebSocket, audience: Audience, connection: Connection) -> None:
        clock = asyncio.get_running_loop().time
        bucket = Bucket(self._settings.frames_per_second, self._settings.frames_burst, clock())
        while True:
            event = await socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            while wait := bucket.take(clock()):
                # Not read until its time has come: the system's own buffers fill, and the sender has to wait.
                self._rooms.note_refusal(connection, "paced")
                await asyncio.sleep(wait)
            await self._take(event.get("text"), audience, connection)

    async def _take(self, text: str | None, audience: Audience, connection: Connection) -> None:
        frame = parse(text, self._settings.frame_length) if text is not None else BINARY
        try:
            match frame:
                case Malformed(reason, sentence):
                    self._rooms.note_refusal(connection, reason)
                    connection.offer(self._fragments.notice(sentence))
                case Say(drafts, is_open):
                    await self._rooms.say(audience, connection, drafts, is_open)
                case Resume(cursor, drafts):
                    if drafts:
                        await self._rooms.say(audience, connection, drafts)
                    await self._rooms.resume(audience, connection, cursor)
        except StoreUnavailable as error:
            # Only a resume comes here: the page cannot be completed now, so it has to come back and ask again.
            log.error("not resumed", room=audience.room.slug, error=str(error))
            connection.cut("unavailable")

    async def _drop(self, socket: WebSocket, code: CloseCode) -> None:
        """End a socket that may take nothing any more: say why if it listens, and let go of it in any case."""
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, wire.door(socket.scope))
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close(code)


BINARY = Malformed("binary", "That could not be read: a frame is text, not bytes.")
