"""uvicorn's HTTP protocol, with an end to patience."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.chat.limits import Quota
from app.delivery.http_protocol import (
    ADDRESS_BYTES,
    HEAD_BYTES,
    MOST_FIELDS,
    REQUEST_LIMITS,
    HttpProtocol,
    RequestLimits,
)
from app.delivery.websocket_protocol import WebSocketProtocol
from tests.transport import HANDSHAKE, Transport


class Door:
    """The HTTP protocol, with an application that answers everything, and what it refused."""

    def __init__(self, most: int = 2, seconds: float = 3600, proxies: str = "") -> None:
        self.refused: list[str] = []
        self.unfinished = Quota(most)
        self.config = Config(self.application, interface="asgi3", lifespan="off", log_config=None, ws=WebSocketProtocol)
        self.config.load()
        self.state = ServerState()
        self.lifespan = {REQUEST_LIMITS: RequestLimits(self.unfinished, seconds, self.refused.append, proxies)}

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


async def test_incomplete_requests_per_address_are_limited() -> None:
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


async def test_requests_through_a_proxy_count_for_their_client() -> None:
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


async def test_an_incomplete_request_times_out() -> None:
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
    for _ in range(HEAD_BYTES // 1000 + 2):  # the last one is known to be whole when another begins
        protocol.data_received(b"X-Trailer: " + b"x" * 1000 + b"\r\n")
    assert here.refused == ["head-too-large"]
    for task in here.state.tasks:
        task.cancel()
    await asyncio.wait(here.state.tasks)
    protocol.connection_lost(None)


@pytest.mark.breaks(
    "app/delivery/http_protocol.py", "if self._fields > MOST_FIELDS or self._field_bytes > HEAD_BYTES:", "if False:"
)
@pytest.mark.parametrize("fields", [b"a:\r\n" * (MOST_FIELDS + 1), b"X-Long: " + b"x" * HEAD_BYTES + b"\r\n"])
@pytest.mark.parametrize("upgrade", [b"", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"])
async def test_a_head_that_comes_whole_has_its_limits_too(fields: bytes, upgrade: bytes) -> None:
    here = Door()
    protocol, transport = here.open()
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: parlor.test\r\n" + fields + upgrade + b"\r\n" + REQUEST)
    assert transport.written.startswith(b"HTTP/1.1 431 ")
    assert here.refused == ["head-too-large"]
    assert not here.state.tasks
    protocol.connection_lost(None)


@pytest.mark.breaks("app/delivery/http_protocol.py", "if hosts > 1 or (hosts == 0", "if False and (hosts == 0")
@pytest.mark.parametrize(
    ("head", "is_answered"),
    [
        (b"HTTP/1.1\r\nHost: parlor.test\r\nHost: evil.test\r\n", False),
        (b"HTTP/1.1\r\nHost: parlor.test\r\nHost: parlor.test\r\n", False),
        (b"HTTP/1.1\r\n", False),
        (b"HTTP/1.0\r\n", True),
        (b"HTTP/1.0\r\nHost: a\r\nHost: b\r\n", False),
    ],
)
async def test_a_request_has_one_host(head: bytes, is_answered: bool) -> None:
    here = Door()
    protocol, transport = here.open()
    protocol.data_received(b"GET / " + head + b"\r\n")
    await here.answered()
    assert transport.written.startswith(b"HTTP/1.1 200" if is_answered else b"HTTP/1.1 400")
    protocol.connection_lost(None)


@pytest.mark.breaks("app/delivery/http_protocol.py", "if self._address_bytes > ADDRESS_BYTES:", "if False:")
async def test_an_address_has_an_end() -> None:
    here = Door()
    protocol, transport = here.open()
    protocol.data_received(b"GET /" + b"x" * ADDRESS_BYTES + b" HTTP/1.1\r\nHost: parlor.test\r\n\r\n")
    assert transport.written.startswith(b"HTTP/1.1 414 ")
    assert here.refused == ["address-too-long"]
    assert not here.state.tasks
    protocol.connection_lost(None)


@pytest.mark.breaks("app/delivery/http_protocol.py", "self._answering.disconnected = True", "pass")
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


@pytest.mark.breaks("app/delivery/http_protocol.py", "if self._deadline is None:", "if True:")
@pytest.mark.parametrize("come", [b"", REQUEST[:9]], ids=["accepted", "begun"])
async def test_a_request_that_is_on_its_way_when_the_server_stops_is_answered(come: bytes) -> None:
    here = Door()
    protocol, transport = here.open()
    protocol.data_received(come)
    protocol.shutdown()
    assert not transport.closed
    protocol.data_received(REQUEST[len(come) :])
    await here.answered()
    assert transport.written.startswith(b"HTTP/1.1 200")
    protocol.connection_lost(None)


async def test_a_connection_that_has_served_is_closed_when_the_server_stops() -> None:
    here = Door()
    protocol, transport = here.open()
    protocol.data_received(REQUEST)
    await here.answered()
    protocol.shutdown()
    assert transport.closed
    protocol.connection_lost(None)


async def test_a_stop_does_not_wait_long_for_a_request_that_may_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.delivery.http_protocol.LAST_REQUEST_SECONDS", 0)
    here = Door()
    protocol, transport = here.open()
    protocol.shutdown()
    await timers()
    assert transport.closed
    protocol.connection_lost(None)


@pytest.mark.breaks("app/delivery/http_protocol.py", "if self._is_last:", "if False:")
async def test_a_handshake_that_comes_when_the_server_stops_is_left_to_another_process() -> None:
    here = Door()
    protocol, transport = here.open()
    protocol.shutdown()
    protocol.data_received(HANDSHAKE)
    assert transport.closed
    assert transport.written == b""
    assert not here.state.tasks
    protocol.connection_lost(None)
