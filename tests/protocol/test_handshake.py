"""The opening handshake, from the server's side: RFC 6455, section 4.2."""

from collections.abc import Callable

import pytest

from tests.protocol.conftest import Dial
from tests.protocol.parlor import House, is_alive
from tests.protocol.raw import ACCEPTED, NONCE, Raw, handshake, text
from tests.ways import needs_our_protocols

Plug = Callable[[], Raw]


@pytest.fixture
def whole(house: House) -> str:
    """A handshake without anything that need not be in it."""
    return handshake(house.server.host, "/ws")


def test_a_handshake_is_answered_with_its_key(plug: Plug, whole: str) -> None:
    raw = plug()
    answer = raw.request(whole)
    assert answer.status == 101
    assert answer.fields["upgrade"].lower() == "websocket"
    assert answer.fields["connection"].lower() == "upgrade"
    assert answer.fields["sec-websocket-accept"] == ACCEPTED
    assert is_alive(raw)


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),  # as Firefox has it
        ("Connection: Upgrade", "Connection: UPGRADE"),
        ("Upgrade: websocket", "Upgrade: WebSocket"),
        ("Sec-WebSocket-Key", "sec-websocket-key"),
        ("Sec-WebSocket-Key: ", "Sec-WebSocket-Key:"),
        ("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: \t "),
        ("/ws", "/ws?and=a&query"),
        ("/ws", "/ws/lobby"),
    ],
)
def test_a_handshake_may_be_written_in_many_ways(plug: Plug, whole: str, part: str, instead: str) -> None:
    raw = plug()
    answer = raw.request(whole.replace(part, instead, 1))
    assert answer.status == 101
    assert answer.fields["sec-websocket-accept"] == ACCEPTED
    assert is_alive(raw)


@pytest.mark.parametrize("size", [1, 7])
def test_a_handshake_may_come_in_pieces(plug: Plug, whole: str, size: int) -> None:
    raw = plug()
    head = whole.replace("\n", "\r\n") + "\r\n"
    raw.send_apart([head[start : start + size].encode() for start in range(0, len(head), size)])
    assert raw.request("").status == 101
    assert is_alive(raw)


def test_unknown_extensions_are_declined(plug: Plug, whole: str) -> None:
    unknown = "Sec-WebSocket-Protocol: chat, superchat\nSec-WebSocket-Extensions: foo; x=1, bar"
    answer = plug().request(f"{whole}\n{unknown}")
    assert answer.status == 101
    assert "sec-websocket-protocol" not in answer.fields
    assert "sec-websocket-extensions" not in answer.fields


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        (f"Sec-WebSocket-Key: {NONCE}\n", ""),
        (NONCE, ""),
        (NONCE, "not base64"),
        (NONCE, "c2hvcnQ="),  # "short", where 16 bytes have to be
        (NONCE, NONCE + "AAAA"),
        (NONCE, f"{NONCE}\nSec-WebSocket-Key: {NONCE}"),
    ],
    ids=["none", "empty", "not base64", "short", "long", "two"],
)
def test_a_handshake_without_a_key_is_refused(plug: Plug, whole: str, part: str, instead: str) -> None:
    raw = plug()
    assert raw.request(whole.replace(part, instead)).status == 400
    assert raw.answer.fields["connection"] == "close"


@needs_our_protocols
@pytest.mark.breaks("app/delivery/websocket_rules.py", "if version != VERSION:", "if False:")
@pytest.mark.parametrize("version", ["0", "7", "8", "12", "14", "25", "255", "013", "+13", "13, 8", "x", ""])
def test_another_version_is_told_which_one_is_spoken(plug: Plug, whole: str, version: str) -> None:
    answer = plug().request(whole.replace("Version: 13", f"Version: {version}"))
    assert answer.status == 426
    assert answer.fields["sec-websocket-version"] == "13"


@needs_our_protocols
def test_a_handshake_without_a_version_is_told_as_well(plug: Plug, whole: str) -> None:
    answer = plug().request(whole.replace("\nSec-WebSocket-Version: 13", ""))
    assert answer.status == 426
    assert answer.fields["sec-websocket-version"] == "13"


@pytest.mark.parametrize(
    ("part", "instead", "status"),
    [
        ("GET ", "POST ", 405),
        ("Upgrade: websocket", "Upgrade: h2c", 404),
        ("Upgrade: websocket\n", "", 404),
        ("Connection: Upgrade\n", "", 404),
        ("Connection: Upgrade", "Connection: close", 404),
    ],
)
def test_a_plain_request_gets_no_websocket(plug: Plug, whole: str, part: str, instead: str, status: int) -> None:
    answer = plug().request(whole.replace(part, instead))
    assert answer.status == status
    assert "sec-websocket-accept" not in answer.fields


@needs_our_protocols
@pytest.mark.breaks("app/delivery/http_protocol.py", 'self.scope["http_version"] == "1.1"', "True")
def test_http_has_to_be_new_enough(plug: Plug, whole: str) -> None:
    assert plug().request(whole.replace("HTTP/1.1", "HTTP/1.0")).status == 404


@needs_our_protocols
@pytest.mark.breaks("app/delivery/http_protocol.py", "if hosts > 1 or (hosts == 0 and", "if False and (hosts == 0 and")
def test_a_handshake_names_its_host(plug: Plug, whole: str, house: House) -> None:
    host = f"Host: {house.server.host}\n"
    assert plug().request(whole.replace(host, "")).status == 400
    assert plug().request(whole.replace(host, host * 2)).status == 400


def test_an_address_where_no_socket_is_refuses(plug: Plug, whole: str) -> None:
    assert plug().request(whole.replace("/ws", "/rooms/lobby")).status == 403


@pytest.mark.parametrize("extensions", ["permessage-deflate; =1", "deflate;;", '"deflate"', "a b"])
def test_a_list_of_extensions_that_is_none_is_refused(plug: Plug, whole: str, extensions: str) -> None:
    assert plug().request(f"{whole}\nSec-WebSocket-Extensions: {extensions}").status == 400


def test_frames_may_follow_the_answer_at_once(dial: Dial) -> None:
    raw = dial()
    raw.send(*[text("nonsense")] * 3)
    assert is_alive(raw)
