"""The rules of WebSocket (RFC 6455): the library's, and those that it leaves out.

Bytes in, events out: nothing here knows a transport, uvicorn or a room.
"""

import codecs
from collections.abc import Callable, Generator
from http import HTTPStatus
from typing import Any

from websockets.exceptions import InvalidUpgrade, PayloadTooBig
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

VERSION = "13"  # of the protocol: there is no other
UTF_8 = codecs.getincrementaldecoder("utf-8")


class FrameReader(StreamReader):
    """The bytes that have come. Once `is_held`, no frame is begun that still lies among them."""

    is_held = True

    def at_eof(self) -> Generator[None, None, bool]:
        """Tell whether the stream has ended. The parser asks before each frame, and waits here."""
        while self.is_held:
            yield
        return (yield from super().at_eof())


class Rules(ServerProtocol):
    """The server's side of one connection. `tell_end` is called when nothing more may be sent on it.

    One frame is read for each `read_frame`. A read of the transport may hold thousands, and a kilobyte of compressed
    ones becomes a megabyte: until somebody takes it, what has come stays as it came.
    """

    reader: FrameReader

    def __init__(self, tell_end: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._tell_end = tell_end
        self._text: codecs.IncrementalDecoder | None = None  # of the message that is coming
        self._fragments = 0  # of it
        self.frame_size = 0  # of the last one, in bytes, as it was before it was compressed
        self.reader = FrameReader()
        self.parser = self.parse()  # anew: the first one reads from another reader
        next(self.parser)

    def read_frame(self) -> None:
        """Read one more frame, now or as soon as it is here as a whole."""
        self.reader.is_held = False
        next(self.parser)

    @property
    def unread(self) -> int:
        """How many bytes lie here that belong to no whole message yet."""
        return len(self.reader.buffer) + (self.current_size or 0)

    def process_request(self, request: Request) -> tuple[str, str | None, str | None]:
        """Judge a handshake, also by its version: section 4.2.1. `HttpProtocol` has judged its host."""
        version = ", ".join(request.headers.get_all("Sec-WebSocket-Version"))
        if version != VERSION:
            raise InvalidUpgrade("Sec-WebSocket-Version", version or None)
        return super().process_request(request)

    def reject(self, status: HTTPStatus | int, text: str) -> Response:
        """Refuse a handshake, and say which version would do: section 4.4."""
        response = super().reject(status, text)
        if status == HTTPStatus.UPGRADE_REQUIRED:
            response.headers["Sec-WebSocket-Version"] = VERSION
        return response

    def send_frame(self, frame: Frame) -> None:
        """Send a frame. After the one that closes nothing may be sent: section 5.5.1."""
        if frame.opcode is Opcode.CLOSE:
            self._tell_end()
            self.extensions = []  # later frames are discarded, so they are not decompressed
        super().send_frame(frame)

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame."""
        in_message = self.current_size is not None
        if frame.opcode in DATA_OPCODES and (frame.opcode is Opcode.CONT) == in_message:
            self._check_text(frame)
            self._check_end(frame)
        elif frame.opcode is Opcode.CLOSE:
            self.current_size = None  # it may come inside a message, whose rest does not: section 5.4
        super().recv_frame(frame)
        self.frame_size = len(frame.data)
        self.reader.is_held = frame.opcode is not Opcode.CLOSE  # after that one, everything is thrown away

    def _check_text(self, frame: Frame) -> None:
        """See that text is UTF-8 as far as it has come: section 8.1."""
        if frame.opcode is not Opcode.CONT:
            self._text = UTF_8() if frame.opcode is Opcode.TEXT else None
        if self._text:
            self._text.decode(frame.data, frame.fin)

    def _check_end(self, frame: Frame) -> None:
        """Limit the fragments of a message: the size limit alone would allow empty ones without end."""
        self._fragments = 0 if frame.fin else self._fragments + 1
        if self._fragments and self.max_message_size is not None:
            inflaters = (getattr(extension, "decoder", None) for extension in self.extensions)
            unread = sum(len(inflater.unused_data) for inflater in inflaters if inflater)
            if self._fragments + unread > self.max_message_size:
                raise PayloadTooBig(None, self.max_message_size)
