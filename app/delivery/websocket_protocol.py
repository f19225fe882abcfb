"""uvicorn's WebSocket protocol, with direct access to its transport.

Through ASGI each browser costs one call, one task switch and one encoding per frame. With direct access, a frame is
encoded once and written to a thousand transports in a plain loop: that is where the speed of a room comes from.
The transport also reports back-pressure, and can be dropped: a close would wait for a browser that reads nothing.

Frames are read one at a time, each when the application asks for it. Until then they stay compressed, here or in the
kernel: a kilobyte may become a megabyte. Under plain uvicorn everything works, slower, and a socket that reads nothing
stays until the kernel closes it.
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from time import monotonic as _now
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from app.chat.limits import Quota, ReadLimit
from app.delivery.compression import SharedDeflate, SharedDeflateFactory
from app.delivery.encoding import Data, Encoding
from app.delivery.receive_queue import NOTHING, ReceiveQueue
from app.delivery.socket_options import UNREAD_BYTES, has_hung_up, limit_buffers
from app.delivery.transport import FlowListener
from app.delivery.websocket_rules import Rules

TRANSPORT = "parlor.transport"
FRAMES_AFTER_CLOSE = 16  # that may still be on their way when we close, before the browser's answer
LOOK_SECONDS = 0.5  # between two looks at whether a browser that is not read has left
TRY_LATER = 1013

# Shared until a browser is too slow once: an event costs a kilobyte, and most are never cleared.
WRITABLE = asyncio.Event()
WRITABLE.set()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket connection, and the `Transport` of frames that are encoded already."""

    listener: FlowListener | None = None
    conn: Rules
    queue: ReceiveQueue  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = ReceiveQueue()
        self.writable = WRITABLE
        self._gone: asyncio.Future[None] | None = None  # made where somebody waits
        self._reading: ReadLimit | None = None
        self._quota: tuple[Quota, str] | None = None
        self._counted = 0  # on it
        self.conn = Rules(
            self._end,
            extensions=[SharedDeflateFactory()] if self.config.ws_per_message_deflate else [],
            max_size=self.config.ws_max_size,
            logger=logging.getLogger("uvicorn.error"),
        )

    def data_received(self, data: bytes) -> None:
        """Take bytes; parse one frame of them if the application waits for it and may have it now."""
        if self._may_read():
            self.conn.receive_data(data)
            self._handle()
        else:
            self.conn.reader.is_held = True
            self.conn.reader.feed_data(data)
            self._keep()

    async def receive(self) -> Any:
        """Return the next event, parsed only now.

        Who has called `pace` gets `NOTHING` before a frame that has to wait, and after one that says nothing.
        """
        while True:
            if not self.queue.has_events():
                if self._may_read():
                    self.conn.read_frame()
                    self._handle()
                elif self.conn.reader.buffer and not self.disconnected:
                    return NOTHING
                if self.queue.has_events():  # it lay here, and thousands may: others want to be read, too
                    await asyncio.sleep(0)
            event = await self.queue.get()
            if self._reading is not None or event is not NOTHING:
                return event

    async def send(self, message: Any) -> None:
        """Send as uvicorn does."""
        await super().send(message)
        if self.close_sent:
            self._handle()  # the browser's answer may be here already

    def _handle(self) -> None:
        """Handle the frame that was read, if any. A protocol error ends the connection."""
        self.handle_events()
        if self.close_sent:
            self._await_answer()
        elif self.conn.handshake_exc is not None:  # no request at all, or a larger one than the library reads
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        elif self.conn.parser_exc is None:
            self._keep()
        else:
            self._fail()

    def _fail(self) -> None:
        """End the connection with the reason, unless it is gone: then nobody is there, and uvloop would raise."""
        if not self.transport.is_closing():
            self.handle_parser_exception()
        self.disconnected = True  # nothing that the application still sends can be sent

    def handle_events(self) -> None:
        """Pass on the frame that was read, and charge it. Fragments, pings and pongs count, too."""
        if self.conn.events:
            if self._reading is not None:
                self._reading.charge(_now(), 1, self.conn.frame_size)
            super().handle_events()
            if not self.close_sent:
                self.queue.ask_again()

    def send_receive_event_to_app(self) -> None:
        """Pass on a message."""
        data = b"".join(self.frames)
        self.frames = []
        if not self.close_sent:
            said = {"text": data.decode()} if self.curr_msg_data_type == "text" else {"bytes": data}
            self.queue.put_nowait({"type": "websocket.receive", **said})

    def _may_read(self) -> bool:
        return self._reading is None or not self._reading.wait(_now())

    def shutdown(self) -> None:
        """The server stops. Unread frames have no receipt, so the browser sends them again."""
        super().shutdown()
        self.conn.reader.discard()

    def handle_ping(self) -> None:
        """Answer a ping, unless the connection is closing."""
        if not self.transport.is_closing():
            super().handle_ping()

    def _await_answer(self) -> None:
        """Discard frames after our close, up to the browser's answer."""
        for _ in range(FRAMES_AFTER_CLOSE):
            if self.conn.parser_exc is not None or not self.conn.reader.buffer:
                break
            self.conn.read_frame()
            super().handle_events()
        if self.conn.parser_exc is not None or len(self.conn.reader.buffer) > UNREAD_BYTES:
            self.transport.close()

    def _keep(self) -> None:
        """Bound the unread bytes here: pause reading, so that the sender has to wait."""
        self._count_unread()
        full = self.conn.reader.is_held and len(self.conn.reader.buffer) > UNREAD_BYTES
        if full != self.read_paused and not self.transport.is_closing():
            self.read_paused = full
            (self.transport.pause_reading if full else self.transport.resume_reading)()
        if self.conn.reader.is_held and self.conn.reader.buffer:
            self.queue.ask_again()

    def _count_unread(self) -> None:
        """Count the unread bytes in the quota of the address; end the connection if that is full."""
        unread = self.conn.unread if self.conn.unread > UNREAD_BYTES else 0
        if self._quota is None or unread == self._counted:
            return
        quota, address = self._quota
        quota.release(address, self._counted)
        self._counted = unread
        if not quota.acquire(address, unread):
            self._counted = 0
            self.conn.fail(TRY_LATER)
            self._fail()

    def handle_connect(self, event: Request) -> None:
        """Accept the request as uvicorn does, and put this transport into its scope."""
        super().handle_connect(event)
        # The application starts in a task of its own, so it has not seen the scope yet.
        if self.handshake_initiated and not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"] or {}
            extensions[TRANSPORT] = {"transport": self}
            self.transport.set_write_buffer_limits(high=0)  # what the kernel does not take waits in the outbox
            if socket := self.transport.get_extra_info("socket"):
                limit_buffers(socket)

    @property
    def encoding(self) -> Encoding:
        """How it takes frames. Known when it was accepted."""
        extensions = self.conn.extensions
        shares = any(isinstance(each, SharedDeflate) and each.is_shared for each in extensions)
        return Encoding.DEFLATED if shares else Encoding.PLAIN

    @property
    def write(self) -> Callable[[Data], None]:
        """Sends an encoded frame, and never waits. It is the transport's own: no step of ours is in between."""
        return self.transport.write  # type: ignore[return-value]

    @property
    def unsent(self) -> int:
        """How many bytes were written, and are not on their way."""
        return self.transport.get_write_buffer_size()

    def attach(self, listener: FlowListener) -> None:
        """Tell `listener` about back-pressure from now on."""
        if self.disconnected or self.conn.state is not State.OPEN:
            listener.end()
            return
        self.listener = listener
        self._forget_handshake()
        if not self.writable.is_set():
            listener.pause()

    def _forget_handshake(self) -> None:
        # It is over, and each of its headers would be kept as long as the socket, three times.
        self.scope["headers"] = []
        self.request.headers.clear()  # the parser has it, too
        del self.request, self.response

    def pace(self, reading: ReadLimit, quota: Quota, address: str) -> None:
        """Read as fast as `reading` allows. Unfinished data counts in the `quota` of `address`."""
        self._reading = reading
        self._quota = quota, address

    async def rest(self, seconds: float) -> bool:
        """Wait, with nothing being read; return whether the browser is still there. Returns early when it is not."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        self._gone = self._gone or loop.create_future()
        while (left := until - loop.time()) > 0:
            if self._has_left():
                return False
            await asyncio.wait([self._gone], timeout=min(left, LOOK_SECONDS))
        return not self._has_left()

    def _has_left(self) -> bool:
        is_over = self.disconnected or self.transport.is_closing() or self.conn.state is not State.OPEN
        return is_over or self._has_left_unheard()

    def _has_left_unheard(self) -> bool:
        """Check whether the browser left, though its bytes are unread; drop the connection if so."""
        if (socket := self.transport.get_extra_info("socket")) is None:
            return False
        if not self.unsent:
            # The system of a browser that left answers this with a reset, even if the end itself is still on its way
            # behind more bytes than the kernel takes.
            self.conn.send_ping(b"")
            self.transport.write(b"".join(self.conn.data_to_send()))
        if has_left := has_hung_up(socket):
            self.abort()
        return has_left

    def abort(self) -> None:
        """Drop the connection and its unsent bytes."""
        self.stop_keepalive()
        self.transport.abort()

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self.writable = asyncio.Event()
        if self.listener:
            self.listener.pause()

    def resume_writing(self) -> None:
        """The write buffer has drained."""
        super().resume_writing()
        self.writable = WRITABLE
        if self.listener:
            self.listener.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more can be written."""
        self._end()
        super().connection_lost(exc)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application has ended: drop what it did not receive."""
        super().on_task_complete(task)
        self.conn.reader.discard()
        self.frames = []
        if self._quota is not None:
            quota, address = self._quota
            quota.release(address, self._counted)
            self._quota = None

    def _end(self) -> None:
        # A direct write is not checked, so the listener has to be told.
        if self.listener:
            self.listener.end()
            self.listener = None
        if self._gone and not self._gone.done():
            self._gone.set_result(None)


def direct_transport(scope: MutableMapping[str, Any]) -> WebSocketProtocol | None:
    """Return the transport of a socket's `scope`; None if the server is plain uvicorn."""
    transport = (scope.get("extensions") or {}).get(TRANSPORT, {}).get("transport")
    return transport if isinstance(transport, WebSocketProtocol) else None
