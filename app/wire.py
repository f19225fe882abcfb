"""uvicorn's WebSocket protocol, with a door to its transport.

ASGI takes a text, and one call, one task switch and one encoding for each browser. Behind the door a frame that was
encoded once is handed to a thousand transports in a plain loop: that is where the speed of a room comes from.
What else ASGI does not tell is there, too: whether a browser takes what it is sent, and a way to drop it. (Closing
waits for the browser: one that takes nothing would keep its socket and its buffers for good.)
Under a server without this everything works, slower; a socket that takes nothing stays until the system gives it up.
"""

import asyncio
import logging
import socket as constants
import zlib
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State
from websockets.typing import ExtensionParameter

from app.encoding import WINDOW_BITS, Data, Way
from app.outlet import Reader
from app.rules import Rules

DOOR = "parlor.door"
UNSENT_BYTES = 16_384  # for one browser, in the system, before it takes nothing more

# What every browser has until it is too slow for once: an event costs a kilobyte, and most are never cleared.
WRITABLE = asyncio.Event()
WRITABLE.set()


class WireProtocol(WebSocketsSansIOProtocol):
    """A WebSocket connection; seen through the door, an outlet that takes what is encoded already."""

    reader: Reader | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = WRITABLE
        self.conn = Rules(
            self._end,
            extensions=[SharedDeflateFactory()] if self.config.ws_per_message_deflate else [],
            max_size=self.config.ws_max_size,
            logger=logging.getLogger("uvicorn.error"),
        )

    def data_received(self, data: bytes) -> None:
        """Take what comes. What is whole is read, also when something broken comes with it."""
        self.conn.receive_data(data)
        self.handle_events()
        if self.conn.parser_exc is None:
            return
        if self.conn.close_sent is None:  # broken before it was accepted: there is nobody to tell yet
            self.transport.abort()
        elif not self.close_sent:
            self.handle_parser_exception()
            self.disconnected = True  # nothing that the application still sends can be sent
        else:
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Accept the request as uvicorn does, and put the door into its scope."""
        super().handle_connect(event)
        # The application starts in a task of its own, so it has not seen the scope yet.
        if self.handshake_initiated and not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"] or {}
            extensions[DOOR] = {"outlet": self}
            self._keep_little_unsent()

    def _keep_little_unsent(self) -> None:
        # Left alone, the system takes megabytes for somebody who reads nothing, and we would take that for reading.
        # It limits what is not yet on its way, and slows nobody down. https://lwn.net/Articles/560082/
        # What the system does not take is kept here, in the outbox.
        self.transport.set_write_buffer_limits(high=0)
        socket = self.transport.get_extra_info("socket")
        if socket is not None and hasattr(constants, "TCP_NOTSENT_LOWAT"):
            socket.setsockopt(constants.IPPROTO_TCP, constants.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    # The door

    @property
    def way(self) -> Way:
        """How it takes frames. Known when it was accepted."""
        extensions = self.conn.extensions
        shares = any(isinstance(each, SharedDeflate) and each.is_shared for each in extensions)
        return Way.DEFLATED if shares else Way.PLAIN

    @property
    def write(self) -> Callable[[Data], None]:
        """Sends an encoded frame, and never waits. It is the transport's own: no step of ours is in between."""
        return self.transport.write  # type: ignore[return-value]

    @property
    def unsent(self) -> int:
        """How many bytes were written, and are not on their way."""
        return self.transport.get_write_buffer_size()

    def attach(self, reader: Reader) -> None:
        """Tell `reader` from now on how far the browser takes what is written."""
        if self.disconnected or self.conn.state is not State.OPEN:
            reader.end()
            return
        self.reader = reader
        self._forget_handshake()
        if not self.writable.is_set():
            reader.pause()

    def _forget_handshake(self) -> None:
        # It is over, and each of its headers would be kept as long as the socket, three times.
        self.scope["headers"] = []
        self.request.headers.clear()  # the parser has it, too
        del self.request, self.response

    def abort(self) -> None:
        """Drop the connection and what waits to be sent on it."""
        self.stop_keepalive()
        self.transport.abort()

    # What the transport tells

    def pause_writing(self) -> None:
        """What was written is too much for now."""
        self.writable = asyncio.Event()
        if self.reader:
            self.reader.pause()

    def resume_writing(self) -> None:
        """Most of what was written is on its way."""
        super().resume_writing()
        self.writable = WRITABLE
        if self.reader:
            self.reader.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more can be written."""
        self._end()
        super().connection_lost(exc)

    def _end(self) -> None:
        # The door asks nobody: who writes through it has to be told.
        if self.reader:
            self.reader.end()
            self.reader = None


class Inbox:
    """What has come and was not received yet, for a single one who receives: in this, an `asyncio.Queue` in little.

    A queue is ready for many on both sides, and costs 3 kB of the 20 that a browser costs in all.
    """

    def __init__(self) -> None:
        self._events: list[Any] = []  # reading pauses while there is one: at most a close comes on top
        self._awaited: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        """Take what has come."""
        self._events.append(event)
        if self._awaited and not self._awaited.done():
            self._awaited.set_result(None)

    def empty(self) -> bool:
        """Whether nothing waits to be received."""
        return not self._events

    async def get(self) -> Any:
        """Return what came first, as soon as there is something."""
        while not self._events:
            self._awaited = asyncio.get_running_loop().create_future()
            await self._awaited
        return self._events.pop(0)


class SharedDeflate(Extension):
    """Compression of which this side only undoes what comes: what goes was compressed before, for all."""

    name = ServerPerMessageDeflateFactory.name

    def __init__(self, is_shared: bool, incoming: PerMessageDeflate) -> None:
        self.is_shared = is_shared  # what the browser agreed to lets it take part in a stream for all
        self._incoming = incoming

    @property
    def decoder(self) -> "zlib._Decompress | None":
        """What undoes the message that is coming."""
        return getattr(self._incoming, "decoder", None)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Return an incoming frame as it was before it was compressed."""
        return self._incoming.decode(frame, max_size=max_size)

    def encode(self, frame: Frame) -> Frame:
        """Return an outgoing frame as it is: plain ones are allowed between compressed ones."""
        return frame


class SharedDeflateFactory(ServerExtensionFactory):
    """Agrees on compression. Nothing is kept for a browser but what was agreed: it starts anew with each message."""

    name = SharedDeflate.name

    def __init__(self) -> None:
        little = {"memLevel": 1}  # for the compressor that comes with an answer, and goes unused
        self._terms = ServerPerMessageDeflateFactory(
            client_no_context_takeover=True, server_max_window_bits=WINDOW_BITS, compress_settings=little
        )

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        """Return what to answer to an offer, and what it comes to."""
        answer, agreed = self._terms.process_request_params(params, accepted_extensions)
        is_shared = not agreed.local_no_context_takeover and agreed.local_max_window_bits >= WINDOW_BITS
        # Told to compress each message by itself, which it never does, it keeps no compressor.
        incoming = PerMessageDeflate(True, True, agreed.remote_max_window_bits, agreed.local_max_window_bits)
        return answer, SharedDeflate(is_shared, incoming)


def door(scope: MutableMapping[str, Any]) -> WireProtocol | None:
    """Return the outlet of a socket's `scope`; None where the server has no door."""
    outlet = (scope.get("extensions") or {}).get(DOOR, {}).get("outlet")
    return outlet if isinstance(outlet, WireProtocol) else None
