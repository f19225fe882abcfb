"""uvicorn's WebSocket protocol, with a door to the transport.

ASGI can close a socket but not drop it, and closing waits for the browser to take what was written: one that
takes nothing would keep its socket and its buffers for good. Behind the door, `abort` drops it.
Under a server without the door everything works, and such a socket stays until the system gives it up.
"""

from collections.abc import Callable, MutableMapping
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

DOOR = "parlor.abort"


class WireProtocol(WebSocketsSansIOProtocol):
    """A WebSocket connection whose application can abort it."""

    def handle_connect(self, event: Request) -> None:
        """Accept the request as uvicorn does, and put the door into its scope."""
        super().handle_connect(event)
        # The application starts in a task of its own, so it has not seen the scope yet.
        if self.handshake_initiated and not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"] or {}
            extensions[DOOR] = {"abort": self.abort}

    def abort(self) -> None:
        """Drop the connection and what waits to be sent on it."""
        self.stop_keepalive()
        self.transport.abort()


def door(scope: MutableMapping[str, Any]) -> Callable[[], None]:
    """Return what drops the connection of `scope`; it does nothing where the server has no door."""
    abort = (scope.get("extensions") or {}).get(DOOR, {}).get("abort")
    return abort if callable(abort) else lambda: None
