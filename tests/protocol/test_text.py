"""Text is UTF-8: RFC 6455, sections 5.6 and 8.1, and RFC 3629. What Autobahn's suite has in its part 6."""

from collections.abc import Callable

import pytest

from tests.protocol.conftest import Dial
from tests.protocol.parlor import heard, is_alive, notice, saying
from tests.protocol.raw import BINARY, PING, TEXT, Frame, Raw, close, fragments, pieces, text
from tests.ways import needs_our_protocols

Speaker = Callable[..., Raw]

NOT_TEXT = 1007
WORDS = "κόσμε, Grüße 你好 😀👨‍👩‍👧 e\u0301 \U00010000\U0010ffff"
# The first and the last of each length, and what stands beside the surrogates and at the end of a plane.
POINTS = [0x00, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000, 0x1FFFF, 0x10FFFE, 0x10FFFF]
INVALID = {
    "a continuation alone": b"\x80",
    "the last of them": b"\xbf",
    "two continuations": b"\x80\xbf",
    "a start alone, of two": b"\xc3",
    "a start alone, of three": b"\xe2\x82",
    "a start alone, of four": b"\xf0\x9f\x98",
    "a start before a letter": b"\xc3x",
    "a continuation too many": b"\xc3\xa9\xa9",
    "an overlong slash": b"\xc0\xaf",
    "an overlong slash of three": b"\xe0\x80\xaf",
    "an overlong slash of four": b"\xf0\x80\x80\xaf",
    "an overlong NUL": b"\xc0\x80",
    "the largest overlong of two": b"\xc1\xbf",
    "the largest overlong of three": b"\xe0\x9f\xbf",
    "the largest overlong of four": b"\xf0\x8f\xbf\xbf",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond the last": b"\xf4\x90\x80\x80",
    "a start that is none": b"\xf5\x80\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "FE": b"\xfe",
    "FF": b"\xff",
    "UTF-16": "\ufeffhello".encode("utf-16-be"),
    "Latin-1": "Grüße".encode("latin-1"),
    "Autobahn's": bytes.fromhex("cebae1bdb9cf83cebcceb5eda080656469746564"),
}


@pytest.mark.parametrize("place", range(len(saying("é€😀")) + 1))
def test_a_text_may_be_split_anywhere(speaker: Speaker, place: int) -> None:
    raw = speaker()
    whole = saying("é€😀")
    raw.send(*fragments(whole[:place], whole[place:]))
    assert heard(raw) == "é€😀"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_text_may_be_split_everywhere(speaker: Speaker, size: int) -> None:
    raw = speaker()
    raw.send(*fragments(*pieces(saying(WORDS), size)))
    assert heard(raw) == WORDS


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_text_may_arrive_in_pieces(speaker: Speaker, size: int) -> None:
    raw = speaker()
    raw.send_apart(pieces(text(saying(WORDS)), size))
    assert heard(raw) == WORDS


@pytest.mark.parametrize("point", POINTS, ids=hex)
def test_every_code_point_is_text(dial: Dial, point: int) -> None:
    raw = dial()
    for words in (chr(point), f"x{chr(point)}x"):
        raw.send(text(words))
        assert notice(raw)
    raw.send(*fragments(*pieces(chr(point).encode(), 1)))
    assert notice(raw)
    assert is_alive(raw)


@pytest.mark.parametrize("invalid", INVALID.values(), ids=INVALID.keys())
def test_invalid_utf_8_is_refused(dial: Dial, invalid: bytes) -> None:
    for payload in (invalid, b"x" + invalid, saying("hello").replace(b"hello", invalid + b"{"), invalid * 1000):
        raw = dial()
        raw.send(text(payload))
        assert raw.failure() == NOT_TEXT


@pytest.mark.parametrize("invalid", INVALID.values(), ids=INVALID.keys())
def test_invalid_utf_8_in_fragments_is_refused(dial: Dial, invalid: bytes) -> None:
    for parts in ([b"x", invalid, b"x"], [b"", *pieces(invalid, 1), b"x"]):
        raw = dial()
        raw.send(*fragments(*parts))
        assert raw.failure() == NOT_TEXT


@pytest.mark.parametrize("invalid", INVALID.values(), ids=INVALID.keys())
def test_bytes_may_be_anything(dial: Dial, invalid: bytes) -> None:
    raw = dial()
    raw.send(Frame(BINARY, invalid).encoded(), *fragments(*pieces(invalid, 1), opcode=BINARY))
    assert notice(raw) and notice(raw)
    assert is_alive(raw)


@needs_our_protocols
@pytest.mark.breaks("app/delivery/websocket_rules.py", "self._text.decode(frame.data, frame.fin)", "pass")
@pytest.mark.parametrize("part", [b"\xff", b"x\xc3x", b"\xed\xa0\x80", b"\xf4\x90", b"\xe0\x80"])
def test_invalid_utf_8_is_refused_at_once(dial: Dial, part: bytes) -> None:
    raw = dial()
    raw.send(Frame(TEXT, part, fin=False).encoded())
    assert raw.failure() == NOT_TEXT


@needs_our_protocols
@pytest.mark.breaks("app/delivery/websocket_rules.py", "self._text.decode(frame.data, frame.fin)", "pass")
@pytest.mark.parametrize(
    "after",
    [close(1000), Frame(PING, b"x").encoded(), text("nonsense"), b"\xff" * 20],
    ids=["close", "ping", "text", "nonsense"],
)
def test_invalid_utf_8_is_found_behind_a_valid_frame(dial: Dial, after: bytes) -> None:
    raw = dial()
    raw.send(text(b"\xff"), after)
    assert raw.failure() == NOT_TEXT
