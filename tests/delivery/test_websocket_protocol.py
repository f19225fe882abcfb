"""uvicorn's WebSocket protocol, with direct access to its transport."""

import asyncio
import zlib
from socket import socketpair
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.chat.limits import Limits, Quota
from app.delivery.encoding import Encoding, encode
from app.delivery.receive_queue import NOTHING
from app.delivery.socket_options import UNREAD_BYTES
from app.delivery.websocket_protocol import TRANSPORT, WebSocketProtocol, direct_transport
from app.settings import Settings
from tests.transport import HANDSHAKE, Transport, turns


class Server:
    """An application behind the protocol, on a transport of ours."""

    def __init__(self, **options: Any) -> None:
        self.scopes: list[Scope] = []
        self.heard: list[str | None] = []
        self.accepted = asyncio.Event()
        self.transport = Transport()
        state = ServerState()
        config = Config(self.application, interface="asgi3", lifespan="off", log_config=None, **options)
        config.load()
        self.protocol = WebSocketProtocol(config, state, {})
        self.protocol.connection_made(self.transport)
        self.tasks = state.tasks

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        self.accepted.set()
        while (event := await receive())["type"] != "websocket.disconnect":
            self.heard.append(event.get("text"))

    async def shake_hands(self, offer: str = "") -> WebSocketProtocol:
        """Open the socket with an `offer` of extensions, and return its transport."""
        asked = f"Sec-WebSocket-Extensions: {offer}\r\n".encode() if offer else b""
        self.protocol.data_received(HANDSHAKE.removesuffix(b"\r\n") + asked + b"\r\n")
        await self.accepted.wait()
        found = direct_transport(self.scopes[0])
        assert found
        return found

    async def end(self) -> None:
        await turns()
        self.protocol.connection_lost(None)
        await asyncio.gather(*self.tasks)


class FlowListener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def end(self) -> None:
        self.told.append("end")


async def test_the_socket_is_dropped() -> None:
    server = Server()
    transport = await server.shake_hands()
    assert b"101 Switching Protocols" in server.transport.written
    transport.abort()
    assert server.transport.aborted
    await server.end()


async def test_the_transport_may_be_used_when_the_socket_is_gone_already() -> None:
    server = Server()
    transport = await server.shake_hands()
    await server.end()
    transport.abort()


async def test_writes_reach_the_transport_unchanged() -> None:
    server = Server()
    transport = await server.shake_hands()
    server.transport.written = b""
    transport.write(encode("hello", transport.encoding))
    assert server.transport.written == b"\x81\x05hello"
    server.transport.unsent = 7
    assert transport.unsent == 7
    await server.end()


async def test_the_listener_is_told_about_back_pressure() -> None:
    server, reader = Server(), FlowListener()
    transport = await server.shake_hands()
    assert server.transport.high == 0
    transport.attach(reader)
    assert reader.told == []
    server.protocol.pause_writing()
    server.protocol.resume_writing()
    assert reader.told == ["pause", "resume"]
    await server.end()
    assert reader.told == ["pause", "resume", "end"]


async def test_attaching_under_back_pressure_is_told_at_once() -> None:
    server, reader = Server(), FlowListener()
    transport = await server.shake_hands()
    server.protocol.pause_writing()
    transport.attach(reader)
    assert reader.told == ["pause"]
    await server.end()


@pytest.mark.parametrize(
    ("offer", "encoding"),
    [
        ("", Encoding.PLAIN),
        ("permessage-deflate", Encoding.DEFLATED),
        ("permessage-deflate; client_max_window_bits", Encoding.DEFLATED),  # Chromium, Firefox
        ("permessage-deflate; server_max_window_bits=15", Encoding.DEFLATED),
        ("permessage-deflate; server_max_window_bits=12", Encoding.DEFLATED),
        ("permessage-deflate; server_max_window_bits=11", Encoding.PLAIN),  # it has no room for a stream of ours
        ("permessage-deflate; server_no_context_takeover", Encoding.PLAIN),  # it forgets between messages
        ("permessage-deflate; unknown", Encoding.PLAIN),
        ("x-webkit-deflate-frame", Encoding.PLAIN),
    ],
)
async def test_a_browser_shares_a_stream_where_it_can(offer: str, encoding: Encoding) -> None:
    server = Server()
    transport = await server.shake_hands(offer)
    assert transport.encoding is encoding
    await server.end()


async def test_control_frames_are_not_compressed() -> None:
    """Compressed on its own it would stand between two frames of the stream that all share."""
    server = Server()
    await server.shake_hands("permessage-deflate")
    server.transport.written = b""
    await server.protocol.send({"type": "websocket.send", "text": "hello"})
    assert server.transport.written == b"\x81\x05hello"
    await server.end()


async def test_compressed_frames_are_read() -> None:
    server = Server()
    await server.shake_hands("permessage-deflate")
    for _ in range(2):  # each by itself: a browser keeps nothing between two, as was agreed
        packer = zlib.compressobj(wbits=-15)
        packed = (packer.compress(b"hello") + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        server.protocol.data_received(bytes((0xC1, 0x80 | len(packed), 0, 0, 0, 0)) + packed)
    await server.end()
    assert server.heard == ["hello", "hello"]


async def test_nothing_is_kept_for_a_browser_to_compress_with() -> None:
    server = Server()
    await server.shake_hands("permessage-deflate")
    (extension,) = server.protocol.conn.extensions
    kept = [vars(extension), vars(extension._incoming)]  # type: ignore[attr-defined]
    assert not any(type(value).__module__ == "zlib" for values in kept for value in values.values())
    await server.end()


async def test_other_extensions_stay_in_the_scope() -> None:
    server = Server()
    server.protocol.data_received(HANDSHAKE)
    await server.accepted.wait()
    assert "websocket.http.response" in server.scopes[0]["extensions"]
    await server.end()


async def test_a_request_that_is_no_handshake_reaches_no_application() -> None:
    server = Server()
    server.protocol.data_received(b"GET /ws HTTP/1.1\r\nHost: parlor.test\r\n\r\n")
    assert server.scopes == []
    assert server.transport.written.startswith(b"HTTP/1.1 4")
    assert server.transport.closed
    await server.end()


@pytest.mark.breaks("app/delivery/websocket_protocol.py", "elif self.conn.handshake_exc is not None:", "elif False:")
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HANDSHAKE.replace(b"/ws", b"/ws?" + b"x" * 9_000), b"414"),
        (HANDSHAKE[:-2] + b"Cookie: " + b"x" * 9_000 + b"\r\n\r\n", b"431"),
        (HANDSHAKE[:-2] + b"X: y\r\n" * 200 + b"\r\n", b"431"),
    ],
    ids=["address", "field", "fields"],
)
async def test_a_handshake_that_is_too_large_is_answered(head: bytes, status: bytes) -> None:
    server = Server()
    server.protocol.data_received(head)
    assert server.transport.written.startswith(b"HTTP/1.1 " + status)
    assert server.transport.closed
    await server.end()


@pytest.mark.parametrize("extensions", [None, {}, {TRANSPORT: {}}, {TRANSPORT: {"transport": None}}], ids=str)
def test_another_server_has_no_direct_transport(extensions: Any) -> None:
    assert direct_transport({"extensions": extensions}) is None
    assert direct_transport({}) is None


# What is broken


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame, masked with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


BROKEN = frame(3, b"x")


async def test_whole_frames_before_an_error_are_read() -> None:
    server = Server()
    await server.shake_hands()
    server.protocol.data_received(frame(1, b"one") + frame(9, b"two") + BROKEN + frame(1, b"three"))
    await turns()
    assert server.transport.written.endswith(b"\x8a\x03two\x88\x10\x03\xeainvalid opcode")
    assert server.transport.closed
    await server.end()
    assert server.heard == ["one"]


@pytest.mark.breaks("app/delivery/websocket_protocol.py", "self.disconnected = True", "pass")
async def test_nobody_is_told_anything_after_it() -> None:
    server = Server()
    await server.shake_hands()
    server.protocol.data_received(BROKEN)
    with pytest.raises(OSError):
        await server.protocol.send({"type": "websocket.send", "text": "too late"})
    await server.end()


@pytest.mark.breaks("app/delivery/websocket_rules.py", "is_held = True", "is_held = False")
async def test_nothing_is_read_before_the_answer_to_a_handshake() -> None:
    """A client has to wait for it (section 4.1). What comes before is read when it was agreed how."""
    server = Server()
    server.protocol.data_received(HANDSHAKE)
    server.protocol.data_received(frame(1, b"one") + BROKEN)
    assert bytes(server.protocol.conn.reader.buffer) == frame(1, b"one") + BROKEN
    await turns()
    assert server.transport.written.startswith(b"HTTP/1.1 101 ")
    assert server.transport.written.endswith(b"\x88\x10\x03\xeainvalid opcode")
    await server.end()
    assert server.heard == ["one"]


@pytest.mark.breaks("app/delivery/websocket_rules.py", "self._tell_end()", "pass")
@pytest.mark.parametrize("how", ["close", "broken", "shutdown", "keepalive", "application"])
async def test_after_a_close_frame_nothing_is_written(how: str) -> None:
    """The direct_transport asks nobody: who writes through it has to be told."""
    server, reader = Server(), FlowListener()
    transport = await server.shake_hands()
    transport.attach(reader)
    match how:
        case "close":
            server.protocol.data_received(frame(8, b"\x03\xe8"))
        case "broken":
            server.protocol.data_received(BROKEN)
        case "shutdown":
            server.protocol.shutdown()
        case "keepalive":
            server.protocol.keepalive_timeout()
        case "application":
            await server.protocol.send({"type": "websocket.close"})
    assert reader.told == ["end"]
    await server.end()


@pytest.mark.breaks(
    "app/delivery/websocket_protocol.py", "if self.disconnected or self.conn.state is not State.OPEN:", "if False:"
)
@pytest.mark.parametrize("how", ["closed", "lost"])
async def test_attaching_after_the_end_is_told_at_once(how: str) -> None:
    server, reader = Server(), FlowListener()
    transport = await server.shake_hands()
    if how == "closed":
        server.protocol.data_received(frame(8, b""))
    else:
        server.protocol.connection_lost(None)
    transport.attach(reader)
    assert reader.told == ["end"]
    server.tasks and await asyncio.gather(*server.tasks)


@pytest.mark.breaks(
    "app/delivery/websocket_rules.py", "if self._fragments + unread > self.max_message_size:", "if False:"
)
async def test_a_message_has_as_many_fragments_as_bytes() -> None:
    """Empty ones count for nothing else, and are kept all the same."""
    server = Server(ws_max_size=100)
    await server.shake_hands()
    server.protocol.data_received(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 99 + frame(0, b"whole"))
    await turns(600)
    assert b"\x03\xf1" not in server.transport.written
    server.protocol.data_received(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 100)
    await turns(600)
    assert b"\x03\xf1" in server.transport.written
    assert server.transport.closed
    await server.end()
    assert server.heard[0] == "whole"


# What has come and is not read


class Paced(Server):
    """An application that reads as its limits allow, and only when it is told to."""

    def __init__(self, **limits: Any) -> None:
        super().__init__()
        self.limits = Limits(Settings(**{"frames_burst": 10**6, "bytes_burst": 10**9, **limits}))
        self.quota = Quota(200_000)
        self.frames = 0
        self.most = 10**6  # frames before it waits
        self.may_go_on = asyncio.Event()

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        reading = self.limits.reading("192.0.2.1", 0)
        transport = direct_transport(scope)
        assert transport
        transport.pace(reading, self.quota, "192.0.2.1")
        self.accepted.set()
        await self.may_go_on.wait()
        while (event := await receive())["type"] != "websocket.disconnect":
            self.frames += event is not NOTHING
            waits = self.frames == self.most or (event is NOTHING and not transport._may_read())
            if waits and not transport.disconnected:
                self.may_go_on.clear()
                await self.may_go_on.wait()

    async def end(self) -> None:
        await turns()
        self.protocol.connection_lost(None)
        self.may_go_on.set()
        await asyncio.gather(*self.tasks)


def bomb(size: int) -> bytes:
    """Return a compressed frame that becomes a text of `size`."""
    packer = zlib.compressobj(wbits=-15)
    packed = (packer.compress(b"x" * size) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return bytes((0xC1, 0xFE)) + len(packed).to_bytes(2) + bytes(4) + packed


def inflated(protocol: WebSocketProtocol) -> int:
    """Return how many bytes a protocol holds of what was read."""
    return sum(len(event.get("text", "")) for event in protocol.queue._events)


@pytest.mark.breaks("app/delivery/websocket_rules.py", "self.reader.is_held = frame.opcode is not Opcode.CLOSE", "pass")
async def test_unread_frames_stay_compressed() -> None:
    server = Paced()
    server.most = 1
    await server.shake_hands("permessage-deflate")
    server.may_go_on.set()
    await turns()
    server.protocol.data_received(bomb(1_000_000) * 50)
    await turns()
    assert server.frames == 1
    assert inflated(server.protocol) == 0
    server.most = 0
    server.may_go_on.set()
    await turns(400)
    assert server.frames == 50
    await server.end()


@pytest.mark.breaks(
    "app/delivery/websocket_protocol.py",
    "return self._reading is None or not self._reading.wait(_now())",
    "return True",
)
async def test_frames_beyond_the_limit_stay_unread() -> None:
    server = Paced(bytes_burst=1_000_000, bytes_per_second=1)
    await server.shake_hands("permessage-deflate")
    server.may_go_on.set()
    await turns()
    server.protocol.data_received(bomb(1_000_000) * 50)
    await turns()
    assert server.frames == 1
    assert inflated(server.protocol) == 0
    server.protocol.data_received(bomb(1_000_000) * 50)
    await turns()
    assert inflated(server.protocol) == 0
    await server.end()


@pytest.mark.breaks("app/delivery/websocket_protocol.py", "full = self.conn.reader.is_held and", "full = False and")
async def test_reading_pauses_without_a_reader() -> None:
    server = Paced()
    await server.shake_hands()
    while server.transport.is_reading():
        server.protocol.data_received(frame(1, b"x" * 100) * 100)
        assert len(server.protocol.conn.reader.buffer) < 2 * UNREAD_BYTES
    server.may_go_on.set()
    await turns(4_000)
    assert server.transport.is_reading()
    await server.end()


@pytest.mark.breaks(
    "app/delivery/websocket_protocol.py", "self._reading.charge(_now(), 1, self.conn.frame_size)", "pass"
)
@pytest.mark.parametrize("some", [frame(9, b""), frame(10, b""), frame(1, b"x")], ids=["ping", "pong", "text"])
async def test_every_frame_is_charged(some: bytes) -> None:
    server = Paced(frames_burst=10, frames_per_second=1)
    await server.shake_hands()
    server.may_go_on.set()
    server.protocol.data_received(some * 100)
    await turns(400)
    assert len(server.protocol.conn.reader.buffer) == 90 * len(some)
    await server.end()


BAD = bytes((0x8F, 0x80, 0, 0, 0, 0))  # there is no such kind of frame


@pytest.mark.breaks(
    "app/delivery/websocket_protocol.py",
    "if not self.transport.is_closing():\n            self.handle_parser",
    "if True:\n            self.handle_parser",
)
async def test_a_protocol_error_read_after_the_connection_closed_raises_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The transport closes when a write fails, and says so a turn later."""
    server = Paced()
    await server.shake_hands()
    server.protocol.data_received(frame(1, b"held") + BAD)
    server.transport.close()
    server.may_go_on.set()
    await turns()
    await server.end()
    assert server.frames == 1
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.breaks(
    "app/delivery/websocket_protocol.py",
    "if not quota.acquire(address, unread):",
    "if quota.acquire(address, unread) is None:",
)
async def test_unfinished_frames_count_against_the_quota_of_their_address() -> None:
    server = Paced()
    await server.shake_hands()
    server.may_go_on.set()
    await turns()
    head = bytes((0x81, 0xFF)) + (10**6).to_bytes(8) + bytes(4)
    server.protocol.data_received(head + b"x" * 150_000)
    assert len(server.quota) == 1
    assert not server.transport.is_closing()
    server.protocol.data_received(b"x" * 60_000)
    assert server.transport.written.endswith(b"\x88\x02\x03\xf5")
    assert server.transport.is_closing()
    await server.end()
    assert len(server.quota) == 0


@pytest.mark.breaks(
    "app/delivery/websocket_protocol.py", "self.conn.reader.discard()\n        self.frames = []", "pass"
)
async def test_unread_frames_are_dropped_at_the_end() -> None:
    server = Paced(frames_burst=1, frames_per_second=0.001)
    await server.shake_hands()
    server.may_go_on.set()
    server.protocol.data_received(frame(1, b"x" * 100) * 100)
    await turns()
    server.protocol.connection_lost(None)
    server.may_go_on.set()
    await asyncio.gather(*server.tasks)
    assert not server.protocol.conn.reader.buffer


@pytest.mark.breaks("app/delivery/websocket_protocol.py", "if self._gone and not self._gone.done():", "if False:")
@pytest.mark.parametrize("how", ["lost", "shutdown"])
async def test_waiting_ends_with_the_connection(how: str) -> None:
    server = Paced()
    transport = await server.shake_hands()
    resting = asyncio.create_task(transport.rest(3600))
    await turns(3)
    server.protocol.connection_lost(None) if how == "lost" else server.protocol.shutdown()
    await turns(3)
    assert resting.done()
    assert not resting.result()
    server.may_go_on.set()
    await asyncio.gather(*server.tasks)


@pytest.mark.breaks("app/delivery/socket_options.py", "poll.poll(0)", "False")
async def test_a_browser_that_leaves_unread_things_behind_is_noticed() -> None:
    server = Paced()
    transport = await server.shake_hands()
    ours, theirs = socketpair()
    server.transport.socket = ours
    assert await transport.rest(0.01)
    theirs.send(b"not read")
    theirs.close()
    assert not await transport.rest(3600)
    assert server.transport.aborted
    ours.close()
    server.may_go_on.set()
    await server.end()


@pytest.mark.breaks(
    "app/delivery/websocket_protocol.py", "super().shutdown()\n        self.conn.reader.discard()", "super().shutdown()"
)
async def test_a_stop_reads_nothing_more() -> None:
    server = Paced()
    await server.shake_hands()
    server.protocol.data_received(frame(1, b"x") * 100)
    server.protocol.shutdown()
    server.may_go_on.set()
    await turns(400)
    assert server.frames == 0
    await server.end()


@pytest.mark.breaks("app/delivery/websocket_protocol.py", "for _ in range(FRAMES_AFTER_CLOSE):", "for _ in range(0):")
async def test_the_answer_to_our_close_is_found_behind_late_frames() -> None:
    server = Server()
    await server.shake_hands("permessage-deflate")
    await server.protocol.send({"type": "websocket.close", "code": 1013})
    server.protocol.data_received(frame(1, b"late") * 3)
    assert not server.transport.is_closing()
    server.protocol.data_received(frame(8, b"\x03\xf5"))
    assert server.transport.is_closing()
    await server.end()
    assert server.heard == []
