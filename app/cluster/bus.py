"""“The log of room R has reached position P”, told to every process.

What is announced is a topic and a position and nothing else: whoever hears it reads from where they stand, so an
announcement that is lost costs time and never a message. Within one process there is nobody else to tell.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

Listener = Callable[[str, int], None]


class Bus(Protocol):
    """What tells processes how far things have come. Listeners and whoever announces never wait."""

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with topic and position of what is announced, here or elsewhere."""

    def on_missed(self, look: Callable[[], None]) -> None:
        """Have `look` called when announcements may have been missed."""

    def announce(self, topic: str, position: int) -> None:
        """Tell everybody that `topic` has come to `position`."""

    def hear(self, topic: str, position: int) -> None:
        """Tell those who listen here, as if somebody had announced it."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Hear others and be heard by them until the end."""


class LocalBus:
    """The bus of a single process: whoever listens is called at once, and nothing is ever missed."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with topic and position of what is announced."""
        self._listeners.append(listener)

    def on_missed(self, look: Callable[[], None]) -> None:
        """Nothing is missed."""

    def announce(self, topic: str, position: int) -> None:
        """Tell everybody that `topic` has come to `position`."""
        for listener in self._listeners:
            listener(topic, position)

    hear = announce

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """There is nobody else to hear."""
        yield
