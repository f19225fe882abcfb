"""The end of a connection: RFC 6455, sections 5.5.1 and 7. What Autobahn's suite has in its part 7."""

import socket
from collections.abc import Callable

import httpx2
import pytest

from tests.protocol.conftest import Dial
from tests.protocol.parlor import House, is_alive, saying
from tests.protocol.raw import CLOSE, NO_CLOSE, NO_CODE, PING, PONG, TEXT, Ended, Frame, Raw, close, pieces, text
from tests.ways import needs_our_protocols

Speaker = Callable[..., Raw]

BROKEN, NOT_TEXT, REFUSED = 1002, 1007, 1008

# https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
CODES = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]
NO_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65_535]


@pytest.mark.ways
@pytest.mark.parametrize("code", CODES)
def test_a_close_is_answered_with_its_code(dial: Dial, code: int) -> None:
    raw = dial()
    raw.send(close(code))
    assert raw.failure() == code


@pytest.mark.parametrize("code", NO_CODES)
def test_codes_that_must_not_be_sent_are_refused(dial: Dial, code: int) -> None:
    for reason in (b"", b"why"):
        raw = dial()
        raw.send(close(code, reason))
        assert raw.failure() == BROKEN


def test_a_close_needs_no_code(dial: Dial) -> None:
    raw = dial()
    raw.send(close())
    assert raw.failure() == NO_CODE


def test_half_a_code_is_refused(dial: Dial) -> None:
    raw = dial()
    raw.send(Frame(CLOSE, b"\x03").encoded())
    assert raw.failure() == BROKEN


@pytest.mark.parametrize("reason", ["x", "grüß Gott", "x" * 123, "\U0001f600" * 30])
def test_a_close_may_have_a_reason(dial: Dial, reason: str) -> None:
    raw = dial()
    raw.send(close(1000, reason.encode()))
    assert raw.failure() == 1000


@pytest.mark.parametrize("reason", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"x" * 120 + b"\xe1"])
def test_a_reason_is_text(dial: Dial, reason: bytes) -> None:
    raw = dial()
    raw.send(close(1000, reason))
    assert raw.failure() == NOT_TEXT


def test_a_close_may_come_in_pieces(dial: Dial) -> None:
    raw = dial()
    raw.send_apart(pieces(close(1001, b"going"), 1))
    assert raw.failure() == 1001


@pytest.mark.ways
@pytest.mark.parametrize(
    "after",
    [text(saying("too late")), Frame(PING, b"x").encoded(), close(1001), close(1002), b"\xff" * 20, b"GET / HTTP/1.1"],
    ids=["text", "ping", "close", "another close", "nonsense", "request"],
)
def test_after_a_close_nothing_is_read(house: House, dial: Dial, after: bytes) -> None:
    slug = house.room()
    raw = dial("", f"/ws/{slug}", f"Cookie: {house.cookie('Ann')}")
    raw.send(close(1000), after)
    assert raw.failure() == 1000
    assert "too late" not in httpx2.get(f"{house.server.url}/rooms/{slug}").text


@pytest.mark.ways
def test_frames_before_a_close_are_read(house: House, dial: Dial) -> None:
    slug = house.room()
    raw = dial("", f"/ws/{slug}", f"Cookie: {house.cookie('Ann')}")
    raw.send(text(saying("just in time")), close(1000))
    assert raw.failure() == 1000
    other = dial("", f"/ws/{slug}")
    other.send(text('{"cursor": ""}'))
    while "just in time" not in other.message():
        pass


@needs_our_protocols
@pytest.mark.breaks("app/delivery/websocket_rules.py", "self.current_size = None", "pass")
@pytest.mark.parametrize("code", [1000, 4000])
def test_a_close_inside_a_message_ends_it(dial: Dial, code: int) -> None:
    """Control frames may come between fragments, and this one says that there will be no more of them."""
    raw = dial()
    raw.send(Frame(TEXT, b"half of", fin=False).encoded(), close(code))
    assert raw.failure() == code


# The server closes


def test_a_refused_socket_gets_a_reason(dial: Dial) -> None:
    raw = dial("", "/ws/nowhere")
    assert "does not exist" in raw.message()
    assert raw.closing() == REFUSED
    raw.send(close(REFUSED))
    assert raw.ends()


@pytest.mark.ways
def test_between_the_server_s_close_and_its_answer_nothing_is_said(dial: Dial) -> None:
    raw = dial("", "/ws/nowhere")
    assert raw.closing() == REFUSED
    raw.send(text("nonsense"), text(saying("too late")), Frame(PONG, b"unasked").encoded(), close(1000))
    assert raw.ends()


def test_an_answer_to_the_server_s_close_may_say_something_else(dial: Dial) -> None:
    for answer in (close(), close(1000), close(4999, b"as you like")):
        raw = dial("", "/ws/nowhere")
        assert raw.closing() == REFUSED
        raw.send(answer)
        assert raw.ends()


def test_an_unanswered_close_drops_the_socket(dial: Dial) -> None:
    raw = dial("", "/ws/nowhere")
    assert raw.closing() == REFUSED
    assert raw.ends()


@pytest.mark.parametrize("broken", [b"\xff" * 20, Frame(3, b"x").encoded(), close(999), text(b"\xff")])
def test_a_broken_frame_after_our_close_ends_the_connection(dial: Dial, broken: bytes) -> None:
    raw = dial("", "/ws/nowhere")
    assert raw.closing() == REFUSED
    raw.send(broken, close(1000))
    assert raw.ends()


# An end without a word


@pytest.mark.ways
def test_departed_members_are_not_listed(house: House, dial: Dial) -> None:
    for how in (b"", b"\x81", b"\x81\xff\x00\x00", Frame(TEXT, b"half of", fin=False).encoded()):
        raw = dial()
        assert is_alive(raw)
        raw.send(how)
        raw.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(Ended):
            raw.frame()


def test_a_reset_is_an_end(house: House, dial: Dial) -> None:
    raw = dial()
    assert is_alive(raw)
    # Closed without lingering, a socket is reset.
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4))
    raw.socket.close()
    assert is_alive(dial())


def test_no_close_is_known_by_its_absence(dial: Dial) -> None:
    raw = dial()
    raw.socket.shutdown(socket.SHUT_WR)
    assert raw.closing() == NO_CLOSE
