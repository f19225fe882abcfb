"""One browser: its outbox, its limits, how it is cut off.

`offer` and `push` never wait. What a browser cannot take yet waits in a bounded outbox. A slow consumer that takes
nothing, or falls too far behind, is cut off; it reconnects and resumes. This module knows no room and no HTML.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import IntEnum

from app.chat.messages import Member
from app.delivery.encoding import Data, Frame, encode
from app.delivery.transport import Transport

LOOKS = 4  # for whether a browser takes something, within the time for which it may take nothing


class CloseCode(IntEnum):
    """Why the server closes a socket. htmx reconnects after 1012 and 1013, and stays away after the others.

    https://www.rfc-editor.org/rfc/rfc6455#section-7.4 and the IANA registry it founds.
    """

    REFUSED = 1008  # there is nothing for you here: stay away
    TOO_BIG = 1009  # that frame was larger than any we read (uvicorn closes, by its limit)
    # The server stops, come back (uvicorn closes, when it shuts down); or the session is another, come back with it.
    RESTART = 1012
    OVERLOADED = 1013  # too slow, or too many: come back


class Connection:
    """A browser's socket as the rest of the application sees it."""

    __slots__ = (
        "_drained",
        "_ended",
        "_is_ready",
        "_limit",
        "_outbox",
        "_patience",
        "_stall_seconds",
        "_stalling",
        "_transport",
        "_waiting",
        "_write",
        "address",
        "cut_off",
        "encoding",
        "member",
        "push",
        "time_zone",
    )

    def __init__(
        self,
        member: Member | None,
        time_zone: str,
        transport: Transport,
        outbox_limit: int,
        stall_seconds: float,
        address: str = "",
    ) -> None:
        self.member = member
        self.time_zone = time_zone
        self.address = address  # as limits count it
        self.encoding = transport.encoding
        self.cut_off = ""  # why; a word for the metrics
        self._transport = transport
        self._write = transport.write
        self._is_ready = True  # the browser takes what is written
        # Sends what is encoded for this browser, like `offer`. While the browser takes what is written it is the
        # transport's own `write`: no check per browser and message.
        self.push: Callable[[Data], None] = self._write
        self._ended = False  # nothing is sent any more: cut off, or the browser is gone
        self._outbox: list[Data] = []
        self._waiting = 0  # bytes or characters in the outbox
        self._limit = outbox_limit
        self._stall_seconds = stall_seconds
        self._stalling: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None  # made where somebody waits
        self._patience: asyncio.Timeout | None = None
        transport.attach(self)

    def offer(self, frame: str | Frame) -> None:
        """Send `frame` as soon as the browser takes it. Never waits; past the outbox' limit, cuts off instead.

        Who waits for nothing is offered any frame, however large: they would come back for the same one.
        """
        self.push(encode(frame, self.encoding) if isinstance(frame, str) else frame.encoded(self.encoding))

    def _keep(self, data: Data) -> None:
        # A frame counts until it is gone, so that a huge one cannot hide in the hands of the transport.
        waiting = self._waiting + self._transport.unsent
        if waiting and waiting + len(data) > self._limit:
            self.cut("outbox")
            return
        self._outbox.append(data)
        self._waiting += len(data)

    # Callbacks of the transport

    def pause(self) -> None:
        """The browser takes no more for now. It has `stall_seconds` to take some of what was written."""
        self._is_ready = False
        if self._ended:
            return
        self.push = self._keep
        if self._stalling is None:
            self._look_later(LOOKS)

    def resume(self) -> None:
        """The browser takes more."""
        self._stop_waiting()
        if self._ended:
            return
        self._is_ready = True
        sent = 0
        while self._is_ready and sent < len(self._outbox):
            sent += 1
            self._write(self._outbox[sent - 1])
        self._waiting -= sum(map(len, self._outbox[:sent]))
        del self._outbox[:sent]
        if self._is_ready:
            self.push = self._write
            self._tell_drained()

    def end(self) -> None:
        """Nothing can be sent any more."""
        self._ended = True
        self._is_ready = False
        self.push = _drop
        self._outbox.clear()
        self._waiting = 0
        self._stop_waiting()
        self._tell_drained()

    def _look_later(self, looks: int) -> None:
        """Check later whether some bytes were sent; cut off after so many `looks` without any."""
        wait = self._stall_seconds / LOOKS
        self._stalling = asyncio.get_running_loop().call_later(wait, self._look, looks, self._transport.unsent)

    def _look(self, looks: int, unsent: int) -> None:
        # However slow, it reads: cut off, it would come back for the same, and be cut off again.
        if self._transport.unsent < unsent:
            self._look_later(LOOKS)
        elif looks > 1:
            self._look_later(looks - 1)
        else:
            self.cut("stalled")

    def _stop_waiting(self) -> None:
        if self._stalling:
            self._stalling.cancel()
            self._stalling = None

    # Cutting off

    def cut(self, reason: str) -> None:
        """Cut this browser off, and drop its outbox. `reason` is a word for the metrics."""
        self.cut_off = self.cut_off or reason
        self.end()
        if self._patience:
            self._patience.reschedule(0)

    @asynccontextmanager
    async def until_cut_off(self) -> AsyncIterator[None]:
        """Run the body until it ends or the browser is cut off."""
        try:
            async with asyncio.timeout(0 if self.cut_off else None) as self._patience:
                yield
        except TimeoutError:
            if not self.cut_off:
                raise
        finally:
            self._patience = None

    async def drained(self) -> None:
        """Wait until the outbox is empty: a backlog is sent frame by frame."""
        while not self._is_ready and not self._ended:
            self._drained = self._drained or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def _tell_drained(self) -> None:
        if self._drained:
            self._drained.set_result(None)
            self._drained = None


def _drop(data: Data) -> None:
    """Drop it: the browser is gone."""
