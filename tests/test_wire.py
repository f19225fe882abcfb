"""uvicorn's protocols, with a door to a WebSocket's transport and an end to patience."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.limits import Turnstile
from app.wire import ARRIVALS, DOOR, HEAD_BYTES, Arrivals, HttpProtocol, WireProtocol, door

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: parlor.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Transport(asyncio.Transport):
    """What a protocol needs of a socket, and what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def is_closing(self) -> bool:
        return self.closed or self.aborted


class Server:
    """An application behind the protocol, on a transport of ours."""

    def __init__(self, **options: Any) -> None:
        self.scopes: list[Scope] = []
        self.received: list[Message] = []
        self.accepted = asyncio.Event()
        self.transport = Transport()
        state = ServerState()
        config = Config(self.application, interface="asgi3", lifespan="off", log_config=None, **options)
        config.load()
        self.protocol = WireProtocol(config, state, {})
        self.protocol.connection_made(self.transport)
        self.tasks = state.tasks

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        self.accepted.set()
        while (event := await receive())["type"] != "websocket.disconnect":
            self.received.append(event)
        self.received.append(event)

    async def end(self) -> None:
        self.protocol.connection_lost(None)
        await asyncio.gather(*self.tasks)


async def test_behind_the_door_the_socket_is_dropped() -> None:
    server = Server()
    server.protocol.data_received(HANDSHAKE)
    await server.accepted.wait()
    assert b"101 Switching Protocols" in server.transport.written
    (scope,) = server.scopes
    assert DOOR in scope["extensions"]
    door(scope)()
    assert server.transport.aborted
    await server.end()


async def test_the_door_may_be_used_when_the_socket_is_gone_already() -> None:
    server = Server()
    server.protocol.data_received(HANDSHAKE)
    await server.accepted.wait()
    await server.end()
    door(server.scopes[0])()


async def test_what_uvicorn_offers_besides_stays_in_the_scope() -> None:
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


# What is broken


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame, masked with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


BROKEN = frame(3, b"x")


@pytest.mark.breaks("app/wire.py", "self.handle_events()", "pass")
async def test_what_was_whole_before_it_is_read() -> None:
    server = Server()
    server.protocol.data_received(HANDSHAKE)
    await server.accepted.wait()
    server.protocol.data_received(frame(1, b"one") + frame(9, b"two") + BROKEN + frame(1, b"three"))
    assert server.transport.written.endswith(b"\x8a\x03two\x88\x10\x03\xeainvalid opcode")
    assert server.transport.closed
    await server.end()
    assert [event.get("text", event.get("code")) for event in server.received] == ["one", 1002]


@pytest.mark.breaks("app/wire.py", "self.disconnected = True", "pass")
async def test_nobody_is_told_anything_after_it() -> None:
    server = Server()
    server.protocol.data_received(HANDSHAKE)
    await server.accepted.wait()
    server.protocol.data_received(BROKEN)
    with pytest.raises(OSError):
        await server.protocol.send({"type": "websocket.send", "text": "too late"})
    await server.end()


@pytest.mark.breaks("app/wire.py", "if self.conn.close_sent is None:", "if False:")
async def test_before_the_answer_to_a_handshake_it_is_the_end() -> None:
    server = Server()
    server.protocol.data_received(HANDSHAKE)
    server.protocol.data_received(BROKEN)
    assert server.transport.aborted
    assert server.transport.written == b""
    await server.end()


@pytest.mark.breaks("app/rules.py", "if self._fragments + unread > self.max_message_size:", "if False:")
async def test_a_message_has_as_many_fragments_as_bytes() -> None:
    """Empty ones count for nothing else, and are kept all the same."""
    server = Server(ws_max_size=100)
    server.protocol.data_received(HANDSHAKE)
    await server.accepted.wait()
    server.protocol.data_received(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 99 + frame(0, b"whole"))
    assert b"\x03\xf1" not in server.transport.written
    server.protocol.data_received(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 100)
    assert b"\x03\xf1" in server.transport.written
    assert server.transport.closed
    await server.end()
    assert server.received[0]["text"] == "whole"


@pytest.mark.parametrize(
    "scope",
    [{}, {"extensions": {}}, {"extensions": None}, {"extensions": {DOOR: {}}}, {"extensions": {DOOR: {"abort": None}}}],
    ids=str,
)
def test_where_there_is_no_door_nothing_happens(scope: dict[str, Any]) -> None:
    door(scope)()


# Requests that do not come


class Door:
    """The HTTP protocol, with an application that answers everything, and what it refused."""

    def __init__(self, most: int = 2, seconds: float = 3600, proxies: str = "") -> None:
        self.refused: list[str] = []
        self.unfinished = Turnstile(most)
        self.config = Config(self.application, interface="asgi3", lifespan="off", log_config=None, ws=WireProtocol)
        self.config.load()
        self.state = ServerState()
        self.lifespan = {ARRIVALS: Arrivals(self.unfinished, seconds, self.refused.append, proxies)}

    def open(self) -> tuple[HttpProtocol, Transport]:
        transport, protocol = Transport(), HttpProtocol(self.config, self.state, self.lifespan)
        protocol.connection_made(transport)
        return protocol, transport

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def answered(self) -> None:
        await asyncio.gather(*self.state.tasks)


async def timers() -> None:
    """Return when what was to run by now has run."""
    loop = asyncio.get_running_loop()
    ran: asyncio.Future[None] = loop.create_future()
    loop.call_later(0, ran.set_result, None)
    await ran


REQUEST = b"GET / HTTP/1.1\r\nHost: parlor.test\r\n\r\n"


async def test_whole_requests_are_waited_for_no_longer() -> None:
    here = Door()
    protocol, transport = here.open()
    assert len(here.unfinished) == 1
    protocol.data_received(REQUEST)
    assert len(here.unfinished) == 0
    await here.answered()
    assert transport.written.startswith(b"HTTP/1.1 200")
    # The next one on the same connection, in pieces.
    for piece in (REQUEST[:9], REQUEST[9:20]):
        protocol.data_received(piece)
        assert len(here.unfinished) == 1
    protocol.data_received(REQUEST[20:])
    assert len(here.unfinished) == 0
    await here.answered()
    assert transport.written.count(b"HTTP/1.1 200") == 2
    protocol.connection_lost(None)
    assert not here.refused


async def test_a_handshake_that_is_there_is_waited_for_no_longer() -> None:
    here = Door()
    protocol, _ = here.open()
    protocol.data_received(HANDSHAKE)
    assert len(here.unfinished) == 0
    for task in here.state.tasks:
        task.cancel()
    await asyncio.wait(here.state.tasks)


async def test_one_address_may_leave_so_many_unfinished() -> None:
    here = Door(most=2)
    connections = [here.open() for _ in range(3)]
    assert [bool(transport.written) for _, transport in connections] == [False, False, True]
    assert connections[2][1].written.startswith(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n")
    assert here.refused == ["unfinished"]
    # What comes all the same is not read.
    connections[2][0].data_received(REQUEST)
    assert not here.state.tasks
    for protocol, _ in connections:
        protocol.connection_lost(None)
    assert len(here.unfinished) == 0


async def test_what_a_proxy_brings_is_not_counted_as_one() -> None:
    here = Door(most=1, proxies="10.0.0.1, *")
    connections = [here.open() for _ in range(5)]
    assert not any(transport.written for _, transport in connections)
    for protocol, _ in connections:
        protocol.connection_lost(None)


async def test_a_request_that_is_refused_is_not_answered_as_well() -> None:
    here = Door(most=1)
    protocol, transport = here.open()
    protocol.data_received(REQUEST)
    await here.answered()
    other, _ = here.open()  # the one that may be unfinished
    protocol.data_received(REQUEST)
    assert transport.written.count(b"HTTP/1.1 200") == 1
    assert transport.written.count(b"HTTP/1.1 429") == 1
    assert not here.state.tasks
    for each in (protocol, other):
        each.connection_lost(None)


async def test_what_comes_and_is_no_request_is_not_waited_for_without_end() -> None:
    here = Door(seconds=0)
    protocol, transport = here.open()
    protocol.data_received(REQUEST)
    await here.answered()
    protocol.data_received(b"\r\n")
    await timers()
    assert b"HTTP/1.1 408" in transport.written
    protocol.connection_lost(None)


async def test_trailers_have_an_end() -> None:
    here = Door()
    protocol, _ = here.open()
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: parlor.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
    for _ in range(HEAD_BYTES // 1000 + 1):
        protocol.data_received(b"X-Trailer: " + b"x" * 1000 + b"\r\n")
    assert here.refused == ["head-too-large"]
    for task in here.state.tasks:
        task.cancel()
    await asyncio.wait(here.state.tasks)
    protocol.connection_lost(None)


@pytest.mark.breaks("app/wire.py", "self._answering.disconnected = True", "pass")
async def test_an_answer_to_one_of_several_requests_is_not_written_to_a_connection_that_is_gone() -> None:
    here = Door()
    protocol, transport = here.open()
    protocol.data_received(REQUEST + REQUEST)
    protocol.connection_lost(ConnectionResetError())
    await here.answered()
    assert transport.written == b""


async def test_a_request_that_comes_too_late_is_not_waited_for() -> None:
    here = Door(seconds=0)
    protocol, transport = here.open()
    await timers()
    assert transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert here.refused == ["late"]
    protocol.connection_lost(None)
    assert len(here.unfinished) == 0


async def test_a_head_has_an_end_and_a_body_is_none() -> None:
    here = Door()
    protocol, transport = here.open()
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: parlor.test\r\nContent-Length: 300000\r\n\r\n" + b"x" * 100_000)
    protocol.data_received(b"x" * 200_000)
    await here.answered()
    assert transport.written.startswith(b"HTTP/1.1 200")
    protocol.data_received(b"GET / HTTP/1.1\r\nX-Long: ")
    for _ in range(HEAD_BYTES // 1000 + 1):
        assert not here.refused
        protocol.data_received(b"x" * 1000)
    assert here.refused == ["head-too-large"]
    assert b"HTTP/1.1 431 " in transport.written
    protocol.connection_lost(None)


async def test_an_application_that_says_nothing_about_it_has_no_limits() -> None:
    here = Door(most=0)
    here.lifespan = {}
    protocol, transport = here.open()
    protocol.data_received(REQUEST)
    await here.answered()
    assert transport.written.startswith(b"HTTP/1.1 200")
    protocol.connection_lost(None)
