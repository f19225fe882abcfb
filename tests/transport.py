"""A transport of ours, for protocols without a socket."""

import asyncio
import socket
from typing import Any

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: parlor.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def turns(count: int = 200) -> None:
    """Let the loop go round, so that an application reads what has come."""
    for _ in range(count):
        await asyncio.sleep(0)


class Transport(asyncio.Transport):
    """What a protocol needs of a socket, and what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False
        self.closed = False
        self.unsent = 0
        self._is_paused = False
        self.socket: socket.socket | None = None

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: Any) -> None:
        if self.is_closing():  # as uvloop's
            raise RuntimeError("the handler is closed")
        self.written += bytes(data)

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False

    def is_reading(self) -> bool:
        return not self._is_paused

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def is_closing(self) -> bool:
        return self.closed or self.aborted
