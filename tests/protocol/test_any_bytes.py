"""Whatever follows a handshake, chopped in any way: no exception, and just what the library itself makes of it.

The protocol without a socket, on a transport of ours. The oracle is `websockets`' own protocol, fed with the same bytes
in one piece; where that leaves something to its caller (UTF-8), RFC 6455.
"""

import asyncio
import codecs
import zlib
from dataclasses import dataclass, field
from typing import Any

from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame as Event
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from app.delivery.encoding import encode
from app.delivery.websocket_protocol import WebSocketProtocol, direct_transport
from tests.profile import PROFILE
from tests.protocol.raw import CLOSE, CONTINUATION, DEFAULT_OFFER, NO_CODE, PONG, RSV1, TAIL, TEXT, Frame
from tests.transport import HANDSHAKE, Transport, turns

NOT_TEXT = 1007
LIMIT = 2_000  # bytes of a message
EXAMPLES = 10_000 if PROFILE == "soak" else 400
OFFERS = ["", DEFAULT_OFFER, "permessage-deflate; server_no_context_takeover; client_max_window_bits=9"]

Out = tuple[int, bytes]  # an opcode and a payload, or of a close frame the code


def shaken(offer: str) -> bytes:
    """Return a handshake."""
    asked = f"Sec-WebSocket-Extensions: {offer}\r\n".encode() if offer else b""
    return HANDSHAKE.removesuffix(b"\r\n") + asked + b"\r\n"


@dataclass
class Oracle:
    """What becomes of bytes after a handshake: messages, and frames that answer them."""

    offer: str
    messages: list[str | bytes] = field(default_factory=list)
    answers: list[Out] = field(default_factory=list)
    _parts: list[bytes] = field(default_factory=list)
    _is_text: bool = False

    def feed(self, whole: bytes) -> "Oracle":
        """Take all that comes, at once."""
        deflate = ServerPerMessageDeflateFactory(client_no_context_takeover=True, server_max_window_bits=12)
        protocol = ServerProtocol(extensions=[deflate], max_size=LIMIT)
        protocol.receive_data(shaken(self.offer))
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        protocol.receive_data(whole)
        try:
            for event in protocol.events_received():
                assert isinstance(event, Event)
                self._take(event)
        except UnicodeDecodeError:
            self._close(NOT_TEXT)
        else:
            if protocol.parser_exc is not None:
                assert protocol.close_sent
                # It takes a close inside a message for an offence. The RFC does not: control frames may be there.
                self._close((protocol.close_rcvd or protocol.close_sent).code)
        return self

    @property
    def is_closed(self) -> bool:
        """Whether it ends the connection."""
        return bool(self.answers) and self.answers[-1][0] == CLOSE

    def _close(self, code: int) -> None:
        self.answers.append((CLOSE, b"" if code == NO_CODE else code.to_bytes(2)))

    def _take(self, event: Event) -> None:
        data = bytes(event.data)
        match event.opcode:
            case Opcode.PING:
                self.answers.append((PONG, data))
            case Opcode.CLOSE:
                self.answers.append((CLOSE, data[:2]))
            case Opcode.PONG:
                pass
            case opcode:
                self._parts = [*(self._parts if opcode is Opcode.CONT else []), data]
                self._is_text = self._is_text if opcode is Opcode.CONT else opcode is Opcode.TEXT
                self._end_message(event.fin)

    def _end_message(self, fin: bool) -> None:
        whole = b"".join(self._parts)
        words = codecs.getincrementaldecoder("utf-8")().decode(whole, fin) if self._is_text else ""
        if fin:
            self.messages.append(words if self._is_text else whole)


class Closed(Transport):
    """A transport that notices what is written after it was closed."""

    def write(self, data: Any) -> None:
        assert not data or not self.is_closing()
        super().write(data)


class Session:
    """An application behind the protocol, which remembers what it is told, and one who writes to its transport."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.code = 0
        self.accepted = asyncio.Event()
        self.scope: Scope = {}
        self.transport = Closed()
        self.may_write = True
        state = ServerState()
        config = Config(self.application, interface="asgi3", lifespan="off", log_config=None, ws_max_size=LIMIT)
        config.load()
        self.protocol = WebSocketProtocol(config, state, {})
        self.protocol.connection_made(self.transport)
        self.tasks = state.tasks

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        await receive()
        await send({"type": "websocket.accept"})
        self.accepted.set()
        while (event := await receive())["type"] != "websocket.disconnect":
            self.messages.append(event["bytes"] if event.get("text") is None else event["text"])
        self.code = event["code"]

    async def open(self, offer: str) -> None:
        self.protocol.data_received(shaken(offer))
        await self.accepted.wait()
        transport = direct_transport(self.scope)
        assert transport
        transport.attach(self)
        self.transport.written = b""

    def publish(self) -> None:
        """Write through the direct_transport, as long as one may."""
        transport = direct_transport(self.scope)
        if self.may_write and transport:
            transport.write(encode("published", transport.encoding))

    def pause(self) -> None:
        """The transport of these tests takes everything."""

    def resume(self) -> None:
        """Likewise."""

    def end(self) -> None:
        self.may_write = False

    async def over(self) -> None:
        await turns()
        self.closed = self.transport.closed
        self.protocol.connection_lost(None)
        await asyncio.gather(*self.tasks)


def answers(written: bytes) -> list[Out]:
    """Return the frames that the server wrote, without those that were published: short ones all, and none masked."""
    found = []
    while written:
        size = written[1]
        assert size < 126
        found.append((written[0] & 15, written[2 : 2 + size]))
        assert len(found[-1][1]) == size
        written = written[2 + size :]
    return [(opcode, data[:2] if opcode == CLOSE else data) for opcode, data in found if opcode != TEXT]


def deflated(content: bytes, how: int = zlib.Z_SYNC_FLUSH) -> bytes:
    deflater = zlib.compressobj(wbits=-9)
    return (deflater.compress(content) + deflater.flush(how)).removesuffix(TAIL)


# Bytes that mean something, so that chance has less to do

sizes = st.sampled_from([0, 1, 125, 126, LIMIT // 2, LIMIT - 1, LIMIT, LIMIT + 1])
words = st.sampled_from(["é€😀".encode(), b"\xe2\x82", b"\xac", b"\xff", b"\xed\xa0\x80", b'{"cursor": ""}'])
endings = st.sampled_from([b"\x03\xe8", b"\x03\xe8why", b"\x03\xe8\xff", b"\x03", b"\x03\xed", b"\x0f\xa0"])
contents = st.binary(max_size=130) | sizes.map(lambda size: b"x" * size) | words | endings
payloads = (
    contents
    | contents.map(deflated)
    | contents.map(lambda content: deflated(content, zlib.Z_FINISH) + b"\0")
    | st.just(deflated(b"x" * 10_000_000))
)
keys = st.binary(min_size=4, max_size=4) | st.just(bytes(4))


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame that is mostly allowed."""
    opcode = draw(st.sampled_from([0, 0, 0, 1, 1, 1, 2, 8, 9, 10]) | st.integers(0, 15))
    rsv = draw(st.sampled_from([0, 0, 0, RSV1]) | st.integers(0, 7))
    frame = Frame(opcode, draw(payloads), draw(st.booleans()), rsv)
    key = draw(keys) if draw(st.integers(0, 19)) else None
    return frame.encoded(key, draw(st.sampled_from([None, None, None, 8])))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message in fragments, with control frames in between, that is allowed but for what is in it."""
    payload = draw(payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    parts = [payload[start:end] for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    rsv, opcode = draw(st.sampled_from([0, RSV1])), draw(st.sampled_from([1, 1, 2]))
    found = b""
    for place, part in enumerate(parts):
        frame = Frame(CONTINUATION if place else opcode, part, place == len(parts) - 1, 0 if place else rsv)
        found += frame.encoded(draw(keys)) + draw(st.sampled_from([b"", b"", Frame(9, b"p").encoded()]))
    return found


bytes_of_any_kind = st.lists(messages() | messages() | frames() | st.binary(max_size=8), max_size=8).map(b"".join)
# Where to chop, and whether the application has its turn then, or something is published.
chops = st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["", "turn", "publish"])), max_size=30)


@given(st.sampled_from(OFFERS), bytes_of_any_kind, chops)
@example(DEFAULT_OFFER, Frame(TEXT, b"\xff").encoded() + Frame(CLOSE).encoded(), [])
@example("", Frame(TEXT, b"one").encoded() + b"\xff\xff" + Frame(TEXT, b"two").encoded(), [(5, "turn")])
@example("", Frame(CLOSE, b"\x03\xe8").encoded() + Frame(TEXT, b"late").encoded(), [(9, "publish")])
@example("", Frame(TEXT, b"half", fin=False).encoded() + Frame(CLOSE).encoded(), [])
@hypothesis_settings(max_examples=EXAMPLES)
def test_any_bytes_are_read_as_the_rules_say(offer: str, whole: bytes, cuts: list[tuple[int, str]]) -> None:
    async def run() -> Session:
        session = Session()
        await session.open(offer)
        await feed(session, whole, cuts)
        session.publish()
        await session.over()
        return session

    session, oracle = asyncio.run(run()), Oracle(offer).feed(whole)
    assert session.messages == oracle.messages
    assert answers(session.transport.written) == oracle.answers
    assert session.closed == oracle.is_closed
    assert not session.transport.aborted
    assert session.code == code_of(oracle)


async def feed(session: Session, whole: bytes, cuts: list[tuple[int, str]]) -> None:
    """Have `whole` received in pieces, as long as it is read at all."""
    for size, then in [*cuts, (len(whole), "")]:
        piece, whole = whole[:size], whole[size:]
        if piece and not session.transport.is_closing():
            session.protocol.data_received(piece)
        if then == "turn":
            await asyncio.sleep(0)
        elif then == "publish":
            session.publish()


def code_of(oracle: Oracle) -> int:
    """Return the code that the application is told; 1005 where none was sent."""
    return int.from_bytes(oracle.answers[-1][1]) or 1005 if oracle.is_closed else 1005


@given(st.sampled_from(OFFERS), bytes_of_any_kind, chops)
@hypothesis_settings(max_examples=EXAMPLES)
def test_before_the_answer_too(offer: str, whole: bytes, cuts: list[tuple[int, str]]) -> None:
    """A client has to wait for it (section 4.1). One that does not is no reason for an exception."""

    async def run() -> Session:
        session = Session()
        session.protocol.data_received(shaken(offer))
        await feed(session, whole, [(size, "turn" if then == "turn" else "") for size, then in cuts])
        await session.over()
        return session

    session = asyncio.run(run())
    assert session.code or not session.accepted.is_set()
