"""Those who are sent the same frames: each is encoded once for all who take it the same way, and handed to everybody.

Nothing here waits, and nobody is asked anything: a browser that takes nothing has an outbox of its own.
"""

from app.delivery.connection import Connection
from app.delivery.encoding import Data, Stream, Way, encode


class Channel:
    """The connections that get what is published."""

    def __init__(self) -> None:
        self._members: dict[Way, dict[Connection, None]] = {}
        self._stream: Stream | None = None

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._members.get(connection.way, ())

    def __len__(self) -> int:
        return sum(map(len, self._members.values()))

    def join(self, connection: Connection) -> None:
        """From now on, `connection` gets what is published."""
        self._members.setdefault(connection.way, {})[connection] = None
        if connection.way is Way.DEFLATED and self._stream:
            self._stream.restart()

    def leave(self, connection: Connection) -> None:
        """`connection` gets nothing more."""
        members = self._members.get(connection.way, {})
        members.pop(connection, None)
        if not members:
            self._members.pop(connection.way, None)

    def publish(self, frame: str) -> None:
        """Send `frame` to everybody."""
        # Copies: whoever is cut off because of it may leave at once.
        for way, members in list(self._members.items()):
            data = self._encode(frame, way)
            for connection in list(members):
                connection.push(data)

    def _encode(self, frame: str, way: Way) -> Data:
        if way is not Way.DEFLATED:
            return encode(frame, way)
        self._stream = self._stream or Stream()
        return self._stream.frame(frame.encode())
