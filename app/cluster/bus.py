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
        """Call `listener` with the topic and position of each announcement, from any process."""

    def on_missed(self, look: Callable[[], None]) -> None:
        """Call `look` when announcements may have been missed."""

    def announce(self, topic: str, position: int) -> None:
        """Announce that `topic` has reached `position`."""

    def hear(self, topic: str, position: int) -> None:
        """Call the listeners here, as an announcement would."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Exchange announcements with other processes until the end."""


class LocalBus:
    """The bus of a single process: calls its listeners at once."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener` with the topic and position of each announcement."""
        self._listeners.append(listener)

    def on_missed(self, look: Callable[[], None]) -> None:
        """Nothing is missed."""

    def announce(self, topic: str, position: int) -> None:
        """Announce that `topic` has reached `position`."""
        for listener in self._listeners:
            listener(topic, position)

    hear = announce

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """There are no other processes."""
        yield
