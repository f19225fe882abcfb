"""Pub/sub of positions: "the log of room R has reached position P".

An announcement is a topic and a position. The receiver reads the log from where it stands, so a lost announcement costs
time and never a message.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

Listener = Callable[[str, int], None]


class Bus(Protocol):
    """Publishes positions to all processes. Neither publishers nor listeners wait."""

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
    """The bus of a single process: calls its listeners at once."""

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
