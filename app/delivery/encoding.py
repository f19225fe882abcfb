"""A frame as bytes, encoded once for all browsers that take the same encoding. Plain values.

https://www.rfc-editor.org/rfc/rfc6455#section-5.2 defines a frame,
https://www.rfc-editor.org/rfc/rfc7692#section-7.2 its compression.
"""

import zlib
from enum import Enum

Data = str | bytes

FINAL_TEXT = 0x81
COMPRESSED = 0x40  # the bit RSV1 beside it
WINDOW_BITS = 12  # of a compressed stream: it refers back to the last 4,096 bytes
MEMORY_LEVEL = 5  # a stream costs 32 kB with these two, and 256 kB with zlib's own
TAIL = 4  # bytes at the end of each flush, always the same and left out


class Encoding(Enum):
    """How frames are encoded for a browser."""

    TEXT = "text"  # the server encodes it
    PLAIN = "plain"
    DEFLATED = "deflated"  # compressed frames of a shared stream, and plain ones


class Stream:
    """Compresses frames once for several browsers, as one stream.

    A browser that joins has no earlier frames, so the stream starts anew. Between two frames of a stream no other
    compressed frame may be sent; plain ones may.
    """

    def __init__(self) -> None:
        self._compressor: zlib._Compress | None = None  # made when there is something to send: many join before

    def restart(self) -> None:
        """Refer to nothing that was sent before."""
        self._compressor = None

    def frame(self, payload: bytes) -> bytes:
        """Return the next frame of the stream."""
        if self._compressor is None:
            self._compressor = zlib.compressobj(wbits=-WINDOW_BITS, memLevel=MEMORY_LEVEL)
        deflated = self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return _frame(FINAL_TEXT | COMPRESSED, deflated[:-TAIL])


class Frame:
    """A text for several browsers that do not share a stream yet."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._encoded: dict[Encoding, Data] = {}

    def encoded(self, encoding: Encoding) -> Data:
        """Return it as it is sent in this `encoding`."""
        if encoding not in self._encoded:
            is_deflated = encoding is Encoding.DEFLATED
            text = self._text
            self._encoded[encoding] = Stream().frame(text.encode()) if is_deflated else encode(text, encoding)
        return self._encoded[encoding]


def encode(text: str, encoding: Encoding) -> Data:
    """Return `text` as one browser is sent it, whatever stream it shares with others."""
    return text if encoding is Encoding.TEXT else _frame(FINAL_TEXT, text.encode())


def _frame(head: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((head, length)) + payload
    if length < 65_536:
        return bytes((head, 126)) + length.to_bytes(2) + payload
    return bytes((head, 127)) + length.to_bytes(8) + payload
