"""permessage-deflate for frames that were compressed once, for all browsers.

https://www.rfc-editor.org/rfc/rfc7692
"""

import zlib
from collections.abc import Sequence

from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.typing import ExtensionParameter

from app.delivery.encoding import WINDOW_BITS


class SharedDeflate(Extension):
    """Decompresses incoming frames. Outgoing frames are compressed before they come here."""

    name = ServerPerMessageDeflateFactory.name

    def __init__(self, is_shared: bool, incoming: PerMessageDeflate) -> None:
        self.is_shared = is_shared  # whether the negotiated parameters allow a shared stream
        self._incoming = incoming

    @property
    def decoder(self) -> "zlib._Decompress | None":
        """The decompressor of the incoming message."""
        return getattr(self._incoming, "decoder", None)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Return an incoming frame as it was before it was compressed."""
        return self._incoming.decode(frame, max_size=max_size)

    def encode(self, frame: Frame) -> Frame:
        """Return an outgoing frame as it is: plain ones are allowed between compressed ones."""
        return frame


class SharedDeflateFactory(ServerExtensionFactory):
    """Negotiates compression. A browser costs no compressor: each of its messages is decompressed on its own."""

    name = SharedDeflate.name

    def __init__(self) -> None:
        little = {"memLevel": 1}  # for the compressor that comes with an answer, and goes unused
        self._terms = ServerPerMessageDeflateFactory(
            client_no_context_takeover=True, server_max_window_bits=WINDOW_BITS, compress_settings=little
        )

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        """Return the answer to an offer, and the extension."""
        answer, agreed = self._terms.process_request_params(params, accepted_extensions)
        is_shared = not agreed.local_no_context_takeover and agreed.local_max_window_bits >= WINDOW_BITS
        # Told to compress each message by itself, which it never does, it keeps no compressor.
        incoming = PerMessageDeflate(True, True, agreed.remote_max_window_bits, agreed.local_max_window_bits)
        return answer, SharedDeflate(is_shared, incoming)
