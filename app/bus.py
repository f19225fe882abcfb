"""“Room R has reached position P”, told to every process.

What is announced is a position and nothing else: whoever hears it reads the log from where they stand, so an
announcement that is lost costs time and never a message. Within one process there is nobody else to tell.
"""

from collections.abc import Callable

Listener = Callable[[int, int], None]


class LocalBus:
    """The bus of a single process: whoever listens is called at once."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with room id and position whenever a room grows. It must not wait."""
        self._listeners.append(listener)

    def announce(self, room_id: int, position: int) -> None:
        """Tell everybody that the log of a room reaches up to `position`."""
        for listener in self._listeners:
            listener(room_id, position)
