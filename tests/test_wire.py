"""uvicorn's WebSocket protocol, with a door to the transport."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.wire import DOOR, WireProtocol, door

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

    def is_closing(self) -> bool:
        return self.closed or self.aborted


class Server:
    """An application behind the protocol, on a transport of ours."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.accepted = asyncio.Event()
        self.transport = Transport()
        state = ServerState()
        config = Config(self.application, interface="asgi3", lifespan="off", log_config=None)
        config.load()
        self.protocol = WireProtocol(config, state, {})
        self.protocol.connection_made(self.transport)
        self.tasks = state.tasks

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        self.accepted.set()
        while (await receive())["type"] != "websocket.disconnect":
            pass

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


@pytest.mark.parametrize(
    "scope",
    [{}, {"extensions": {}}, {"extensions": None}, {"extensions": {DOOR: {}}}, {"extensions": {DOOR: {"abort": None}}}],
    ids=str,
)
def test_where_there_is_no_door_nothing_happens(scope: dict[str, Any]) -> None:
    door(scope)()
