"""How frames leave for one browser: written to its socket directly, or through ASGI's `send`.

This module knows no room and no HTML.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from app.delivery.encoding import Data, Encoding


class FlowListener(Protocol):
    """Is told about back-pressure: the browser takes no more, takes more again, or is gone."""

    def pause(self) -> None:
        """It takes nothing more for now."""

    def resume(self) -> None:
        """It takes more."""

    def end(self) -> None:
        """It is gone, or takes nothing any more."""


class Transport(Protocol):
    """Takes the frames for one browser. `write` never waits."""

    @property
    def encoding(self) -> Encoding:
        """How frames are encoded for it."""

    @property
    def write(self) -> Callable[[Data], None]:
        """Sends an encoded frame."""

    @property
    def unsent(self) -> int:
        """The bytes or characters that were written and not sent yet."""

    def attach(self, listener: FlowListener) -> None:
        """Tell `listener` about back-pressure from now on."""


class AsgiTransport:
    """Passes frames to ASGI's `send`, one at a time, while `run` runs. For any ASGI server, and for test clients."""

    encoding = Encoding.TEXT

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._listener: FlowListener | None = None
        self._frame = ""
        self._given = asyncio.Event()

    @property
    def unsent(self) -> int:
        """How many characters are in the hands of the server."""
        return len(self._frame)

    def attach(self, listener: FlowListener) -> None:
        """Tell `listener` when the server has sent what it was given."""
        self._listener = listener

    def write(self, frame: Data) -> None:
        """Send `frame`; the listener has to pause until that is done."""
        self._frame = str(frame)
        self._given.set()
        if self._listener:
            self._listener.pause()

    async def rest(self, seconds: float) -> bool:
        """Wait. Over ASGI, a disconnect is only seen by reading."""
        await asyncio.sleep(seconds)
        return True

    async def run(self) -> None:
        """Send written frames until cancelled, or until `send` fails."""
        try:
            while True:
                await self._given.wait()
                self._given.clear()
                await self._send(self._frame)
                self._frame = ""
                if self._listener:
                    self._listener.resume()
        finally:
            if self._listener:
                self._listener.end()
