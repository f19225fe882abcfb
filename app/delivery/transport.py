"""How frames leave for one browser: through the server's door, or the way that every ASGI server has.

This module knows no room and no HTML.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from app.delivery.encoding import Data, Way


class Reader(Protocol):
    """Who wants to know how far a browser takes what is written to it."""

    def pause(self) -> None:
        """It takes nothing more for now."""

    def resume(self) -> None:
        """It takes more."""

    def end(self) -> None:
        """It is gone, or takes nothing any more."""


class Outlet(Protocol):
    """Where the frames for one browser go. `write` never waits."""

    @property
    def way(self) -> Way:
        """How frames are encoded for it."""

    @property
    def write(self) -> Callable[[Data], None]:
        """Sends an encoded frame."""

    @property
    def unsent(self) -> int:
        """How much of what was written is not on its way, in bytes or characters."""

    def attach(self, reader: Reader) -> None:
        """Tell `reader` from now on how far the browser takes what is written."""


class AsgiOutlet:
    """Gives ASGI's `send` one frame after the other. `run` has to run meanwhile."""

    way = Way.TEXT

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._reader: Reader | None = None
        self._frame = ""
        self._given = asyncio.Event()

    @property
    def unsent(self) -> int:
        """How many characters are in the hands of the server."""
        return len(self._frame)

    def attach(self, reader: Reader) -> None:
        """Tell `reader` when the server has sent what it was given."""
        self._reader = reader

    def write(self, frame: Data) -> None:
        """Send `frame`; the reader has to pause until that is done."""
        self._frame = str(frame)
        self._given.set()
        if self._reader:
            self._reader.pause()

    async def rest(self, seconds: float) -> bool:
        """Wait. ASGI tells that a browser left only to one who reads."""
        await asyncio.sleep(seconds)
        return True

    async def run(self) -> None:
        """Send what is written, until cancelled or refused by `send`."""
        try:
            while True:
                await self._given.wait()
                self._given.clear()
                await self._send(self._frame)
                self._frame = ""
                if self._reader:
                    self._reader.resume()
        finally:
            if self._reader:
                self._reader.end()
