"""Fan-out: encodes a frame once per encoding and writes the bytes to every subscriber.

It never waits: a slow browser has an outbox of its own.
"""

from app.delivery.connection import Connection
from app.delivery.encoding import Data, Encoding, Stream, encode


class Channel:
    """The subscribers of what is published."""

    def __init__(self) -> None:
        self._members: dict[Encoding, dict[Connection, None]] = {}
        self._stream: Stream | None = None

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._members.get(connection.encoding, ())

    def __len__(self) -> int:
        return sum(map(len, self._members.values()))

    def join(self, connection: Connection) -> None:
        """Subscribe `connection`."""
        self._members.setdefault(connection.encoding, {})[connection] = None
        if connection.encoding is Encoding.DEFLATED and self._stream:
            self._stream.restart()

    def leave(self, connection: Connection) -> None:
        """Unsubscribe `connection`."""
        members = self._members.get(connection.encoding, {})
        members.pop(connection, None)
        if not members:
            self._members.pop(connection.encoding, None)

    def publish(self, frame: str) -> None:
        """Send `frame` to everybody."""
        # Copies: a browser that is cut off by this frame may leave at once.
        for encoding, members in list(self._members.items()):
            data = self._encode(frame, encoding)
            for connection in list(members):
                connection.push(data)

    def _encode(self, frame: str, encoding: Encoding) -> Data:
        if encoding is not Encoding.DEFLATED:
            return encode(frame, encoding)
        self._stream = self._stream or Stream()
        return self._stream.frame(frame.encode())
