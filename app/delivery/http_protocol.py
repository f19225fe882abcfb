"""uvicorn's HTTP protocol with timeouts and size limits for incomplete requests.

An incomplete request reaches no application, so only the protocol can end it. Plain uvicorn works too, but keeps such
a request until the system closes the connection.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.chat.limits import Quota, is_among, site

REQUEST_LIMITS = "parlor.request_limits"
STOPPING = "parlor.stopping"  # in the lifespan's state as soon as the server was told to stop
LAST_REQUEST_SECONDS = 0.5  # for a request to be there whose connection was accepted before the stop
LINGER_SECONDS = 1.0  # for an answer to be read, before a socket with unread bytes is closed
HEAD_BYTES = 32_768  # of a request before its body; browsers stay below 16,384
ADDRESS_BYTES = 8_192  # of its first line, as the WebSocket library has it for a handshake
MOST_FIELDS = 100  # in a head; browsers send 30


@dataclass(frozen=True)
class RequestLimits:
    """The limits of incomplete requests; the application passes them in the state of its lifespan."""

    pending: Quota  # requests that are not there yet, by address
    seconds: float  # in which a request has to be there
    refused: Callable[[str], None]  # is told the reason
    proxies: str  # trusted proxies, whose connections are not counted


class HttpProtocol(HttpToolsProtocol):
    """An HTTP connection whose requests must arrive complete and in time. A handshake is a request, too."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._limits: RequestLimits | None = self.app_state.get(REQUEST_LIMITS)
        self._address = self._counted_address()
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = True
        self._parts = 0  # heads and bodies that have come
        self._head_bytes = 0  # of the one that is coming, as far as it is no field yet
        self._address_bytes = 0
        self._fields = 0
        self._field_bytes = 0
        self._given_up = False
        self._upgraded = False
        self._is_last = False
        self._answering: RequestResponseCycle | None = None
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Parse bytes, unless the head is too large."""
        if self._given_up:
            return
        parts = self._parts
        super().data_received(data)
        if parts != self._parts:
            self._head_bytes = 0
        elif self._in_head:
            self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._give_up("head-too-large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if not self._upgraded and self.timeout_keep_alive_task is None and self._is_idle():
            # Something came that is no request, and it ended uvicorn's own waiting.
            self._await_request()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _should_upgrade(self) -> bool:
        # uvicorn passes every handshake on as one of HTTP/1.1.
        return super()._should_upgrade() and self.scope["http_version"] == "1.1"

    def handle_websocket_upgrade(self) -> None:
        """The request was a handshake: it is there, and another protocol goes on."""
        if self._given_up:
            return
        self._upgraded = True
        if self._is_last:
            self.transport.close()  # a proxy asks another process; without one the browser reconnects
        else:
            super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """The server stops. A request that is on its way is waited for; closed now, the connection would swallow it."""
        self._is_last = True
        if self._deadline is None:
            super().shutdown()
        else:
            self.loop.call_later(LAST_REQUEST_SECONDS, super().shutdown)

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        super().on_url(url)
        self._address_bytes += len(url)
        if self._address_bytes > ADDRESS_BYTES:
            self._give_up("address-too-long", HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field, unless it is one too many; after a body there may be some, too."""
        if self._given_up:  # the parser goes on to the end of what has come
            return
        super().on_header(name, value)
        self._fields += 1
        self._field_bytes += len(name) + len(value)
        if self._fields > MOST_FIELDS or self._field_bytes > HEAD_BYTES:
            self._give_up("head-too-large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Wait for the rest of a request that has begun."""
        super().on_message_begin()
        self._address_bytes = self._fields = self._field_bytes = 0
        self._await_request()

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self._given_up:
            return
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            self._give_up("host", HTTPStatus.BAD_REQUEST)  # https://www.rfc-editor.org/rfc/rfc9112#section-3.2
            return
        super().on_headers_complete()
        self._in_head = False
        self._parts += 1

    def on_message_complete(self) -> None:
        """The request is there."""
        if self._given_up:
            return
        super().on_message_complete()
        self._in_head = True
        self._parts += 1
        self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        self._stop_waiting()
        # uvicorn tells the newest request alone, and where requests are pipelined that is not the one whose answer is
        # being written: to a connection that is gone, which uvloop takes for an error.
        if self._answering is not None:
            self._answering.disconnected = True
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _counted_address(self) -> str | None:
        """Return as whom to count this connection; None for a proxy, behind which everybody is."""
        address = self.client[0] if self.client else ""
        return None if self._limits is None or is_among(address, self._limits.proxies) else site(address)

    def _await_request(self) -> None:
        if self._limits is None or self._deadline is not None:
            return
        if self._address is None or self._limits.pending.acquire(self._address):
            self._deadline = self.loop.call_later(
                self._limits.seconds, self._give_up, "late", HTTPStatus.REQUEST_TIMEOUT
            )
        else:
            self._give_up("unfinished", HTTPStatus.TOO_MANY_REQUESTS)

    def _stop_waiting(self) -> None:
        if self._deadline is not None and self._limits is not None:
            self._deadline.cancel()
            self._deadline = None
            if self._address is not None:
                self._limits.pending.release(self._address)

    def _give_up(self, reason: str, status: HTTPStatus) -> None:
        if self._given_up or self.transport.is_closing():
            return
        self._given_up = True
        if self._limits is not None:
            self._limits.refused(reason)
        if not self._in_head and self.cycle.response_started:
            self.transport.close()  # it has its answer, and the rest of its body does not matter any more
            return
        answer = (
            f"HTTP/1.1 {status} {status.phrase}\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        self.transport.write(answer.encode())
        # Closed at once, with something unread, the system would reset the connection and the answer with it.
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
