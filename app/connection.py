"""One browser: its outbox, its limit, how it is cut off.

`offer` never waits, whatever the browser does: what it cannot take yet stands in its own bounded outbox, and
one that takes nothing, or falls too far behind, is cut off. It comes back by itself and resumes.
This module knows no room and no HTML.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum

from app.messages import Member


class CloseCode(IntEnum):
    """Why the server ends a connection. htmx comes back after 1012 and 1013, and stays away after the others.

    https://www.rfc-editor.org/rfc/rfc6455#section-7.4 and the IANA registry it founds.
    """

    REFUSED = 1008  # there is nothing for you here: stay away
    TOO_BIG = 1009  # that frame was larger than any we read (uvicorn closes, by its limit)
    RESTART = 1012  # the server stops, come back (uvicorn closes, when it shuts down)
    OVERLOADED = 1013  # too slow, or too many: come back


class Connection:
    """A browser's socket, as the rest of the application sees it."""

    def __init__(
        self, member: Member | None, time_zone: str, outbox_limit: int, stall_seconds: float, address: str = ""
    ) -> None:
        self.member = member
        self.time_zone = time_zone
        self.address = address  # where it comes from, as limits count it
        self.cut_off: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ended = False  # nothing is sent any more: cut off, or the browser is gone
        self._outbox: deque[str] = deque()
        self._waiting = 0  # characters in the outbox
        self._limit = outbox_limit
        self._stall_seconds = stall_seconds
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    def offer(self, frame: str) -> None:
        """Send `frame` as soon as the browser takes it. Never waits; past the outbox' limit, cuts off instead.

        Who waits for nothing is offered any frame, however large: they would come back for the same one.
        """
        if self._ended:
            return
        if self._waiting and self._waiting + len(frame) > self._limit:
            self.cut("outbox")
            return
        self._outbox.append(frame)
        self._waiting += len(frame)
        self._filled.set()
        self._drained.clear()

    def cut(self, reason: str) -> None:
        """Give this browser up; what waits for it is dropped. `reason` is a word for the metrics."""
        if not self.cut_off.done():
            self.cut_off.set_result(reason)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._outbox.clear()
        self._waiting = 0
        self._filled.set()
        self._drained.set()

    async def write(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Send what is offered, one frame after the other, until cancelled, cut off ("stalled") or refused by `send`.

        Then nothing more is sent, and nobody waits for it.
        """
        try:
            while not self.cut_off.done():
                await self._filled.wait()
                while self._outbox:
                    await self._send(send, self._outbox.popleft())
                self._filled.clear()
                self._drained.set()
        finally:
            self._end()

    async def drained(self) -> None:
        """Wait until the browser has taken everything: for what is sent page by page, like a backlog."""
        await self._drained.wait()

    async def _send(self, send: Callable[[str], Awaitable[None]], frame: str) -> None:
        try:
            async with asyncio.timeout(self._stall_seconds):
                await send(frame)
        except TimeoutError:
            self.cut("stalled")
        else:
            # A frame counts until it is gone, so that a huge one cannot hide in the hands of the writer.
            self._waiting = max(0, self._waiting - len(frame))
