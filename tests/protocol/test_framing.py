"""Frames: RFC 6455, section 5. What Autobahn's suite has in its parts 1 to 5 and 9."""

import os
from collections.abc import Callable

import pytest

from tests.protocol.conftest import Dial
from tests.protocol.parlor import LIMIT, READ, TOO_LONG, heard, is_alive, notice, saying
from tests.protocol.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFAULT_OFFER,
    PING,
    PONG,
    RSV1,
    TEXT,
    Frame,
    Raw,
    fragments,
    pieces,
    text,
)

Speaker = Callable[..., Raw]

BROKEN, TOO_BIG = 1002, 1009
SIZES = [0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 65_534, 65_535, 65_536, 65_537, 131_072]


def ping(payload: bytes = b"") -> bytes:
    return Frame(PING, payload).encoded()


def padded(size: int, words: str = "hello") -> bytes:
    """Return a payload of `size` bytes that says something."""
    bare = len(saying(words, pad=""))
    return saying(words, pad="x" * (size - bare))


# Sizes


@pytest.mark.parametrize("size", SIZES)
def test_a_message_may_have_any_size(speaker: Speaker, size: int) -> None:
    raw = speaker()
    if size < 100:
        raw.send(text("x" * size))
        assert READ in notice(raw)
    else:
        raw.send(text(padded(size)))
        assert heard(raw) == "hello"


@pytest.mark.parametrize("size", [1, 125, 126, 127, 4095, 4096, 4097, 16_384])
def test_messages_round_trip_unchanged(speaker: Speaker, size: int) -> None:
    """Up to 65,536 bytes of it, in a frame that is somewhat longer."""
    raw = speaker()
    words = "".join(chr(0x1F600 + number % 64) for number in range(size))
    raw.send(text(saying(words)))
    assert heard(raw) == words


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
def test_a_message_up_to_the_limit_is_read(dial: Dial, size: int) -> None:
    raw = dial()
    raw.send(text("x" * size))
    assert TOO_LONG in notice(raw)
    assert is_alive(raw)


@pytest.mark.parametrize("size", [LIMIT + 1, 2**31, 2**32, 2**62, 2**63 - 1])
def test_a_message_beyond_the_limit_is_refused_before_it_comes(dial: Dial, size: int) -> None:
    raw = dial()
    raw.send(b"\x81\xff" + size.to_bytes(8, "big"))
    assert raw.failure() == TOO_BIG


@pytest.mark.parametrize("size", [2**63, 2**64 - 1])
def test_the_highest_bit_of_a_length_is_zero(dial: Dial, size: int) -> None:
    raw = dial()
    raw.send(b"\x81\xff" + size.to_bytes(8, "big"))
    assert raw.failure() in (BROKEN, TOO_BIG)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_limit_is_one_of_messages_not_of_fragments(dial: Dial, opcode: int) -> None:
    whole, beyond = dial(), dial()
    parts = pieces(b"x" * LIMIT, 400_000)
    whole.send(*fragments(*parts, opcode=opcode))
    assert notice(whole)
    assert is_alive(whole)
    beyond.send(*fragments(*parts, b"x", opcode=opcode))
    assert beyond.failure() == TOO_BIG


@pytest.mark.parametrize("form", [2, 8])
def test_a_length_in_a_longer_form_is_no_other_length(dial: Dial, form: int) -> None:
    """The RFC wants the shortest form, and does not say what becomes of others: it is read, or the connection ends."""
    raw = dial()
    raw.send(Frame(TEXT, b"nonsense").encoded(form=form))
    answer = raw.event()
    assert READ.encode() in answer.payload if answer.opcode == TEXT else answer.payload.startswith(b"\x03\xea")


# Masks


@pytest.mark.parametrize("key", ["00000000", "ffffffff", "00ff00ff", "01000000", "00000001", "7b7b7b7b"])
@pytest.mark.parametrize("size", [100, 101, 102, 103, 65_537])
def test_any_key_may_mask(speaker: Speaker, key: str, size: int) -> None:
    raw = speaker()
    raw.send(Frame(TEXT, padded(size)).encoded(bytes.fromhex(key)))
    assert heard(raw) == "hello"


def test_each_frame_has_a_key_of_its_own(speaker: Speaker) -> None:
    raw = speaker()
    whole = padded(1000)
    parts = pieces(whole, 7)
    for place, part in enumerate(parts):
        frame = Frame(CONTINUATION if place else TEXT, part, place == len(parts) - 1)
        raw.send(frame.encoded(os.urandom(4)))
    assert heard(raw) == "hello"


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_unmasked_frames_are_refused(dial: Dial, opcode: int) -> None:
    raw = dial()
    raw.send(Frame(opcode, b"\x03\xe8").encoded(key=None))
    assert raw.failure() == BROKEN


# Opcodes and reserved bits


@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("payload", [b"", b"x"])
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_are_refused(dial: Dial, opcode: int, payload: bytes, fin: bool) -> None:
    raw = dial()
    raw.send(Frame(opcode, payload, fin).encoded())
    assert raw.failure() == BROKEN


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
@pytest.mark.parametrize("rsv", range(1, 8))
def test_reserved_bits_are_refused(dial: Dial, rsv: int, opcode: int) -> None:
    raw = dial()
    raw.send(Frame(opcode, b"\x03\xe8", rsv=rsv).encoded())
    assert raw.failure() == BROKEN


@pytest.mark.parametrize("rsv", [rsv for rsv in range(1, 8) if rsv != RSV1])
def test_compression_takes_one_reserved_bit_alone(dial: Dial, rsv: int) -> None:
    raw = dial(DEFAULT_OFFER)
    raw.send(Frame(TEXT, b"\x00", rsv=rsv).encoded())
    assert raw.failure() == BROKEN


@pytest.mark.parametrize("first", [[], [text("nonsense")], [ping(b"x")], fragments(b"non", b"sense")])
def test_a_broken_frame_is_found_behind_a_valid_one(dial: Dial, first: list[bytes]) -> None:
    raw = dial()
    raw.send(*first, Frame(TEXT, b"x", rsv=1).encoded(), text("nonsense"), ping(b"y"))
    assert raw.failure() == BROKEN


def test_bytes_are_no_text(dial: Dial) -> None:
    raw = dial()
    raw.send(Frame(BINARY, saying("hello")).encoded())
    assert "it must be text" in notice(raw)
    assert is_alive(raw)


# Pings and pongs


@pytest.mark.parametrize("payload", [b"", b"x", b"\x00\xff\xfe\x80", b"x" * 124, bytes(range(125))])
def test_a_pong_repeats_the_payload_of_its_ping(dial: Dial, payload: bytes) -> None:
    raw = dial()
    raw.send(ping(payload))
    assert raw.event() == Frame(PONG, payload)


def test_many_pings_are_answered_in_their_order(dial: Dial) -> None:
    raw = dial()
    payloads = [str(number).encode() for number in range(100)]
    raw.send(*map(ping, payloads))
    assert [raw.event() for _ in payloads] == [Frame(PONG, payload) for payload in payloads]


def test_a_ping_in_pieces_is_answered_once_it_is_there(dial: Dial) -> None:
    raw = dial()
    raw.send_apart(pieces(ping(b"payload") * 3, 1))
    assert [raw.event() for _ in range(3)] == [Frame(PONG, b"payload")] * 3


@pytest.mark.parametrize("payload", [b"", b"unasked", b"x" * 125])
def test_a_pong_that_nobody_asked_for_is_not_answered(dial: Dial, payload: bytes) -> None:
    raw = dial()
    raw.send(Frame(PONG, payload).encoded(), ping(b"after"))
    assert raw.event() == Frame(PONG, b"after")


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_a_control_frame_is_short(dial: Dial, opcode: int) -> None:
    for size in (126, 127, 65_536):
        raw = dial()
        raw.send(Frame(opcode, b"\x03\xe8" + b"x" * (size - 2)).encoded())
        assert raw.failure() == BROKEN


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_a_control_frame_is_whole(dial: Dial, opcode: int) -> None:
    raw = dial()
    raw.send(Frame(opcode, b"", fin=False).encoded(), Frame(CONTINUATION).encoded())
    assert raw.failure() == BROKEN


# Fragments


@pytest.mark.ways
@pytest.mark.parametrize("size", [1, 2, 3, 10, 64, 1000])
def test_a_message_may_come_in_fragments(speaker: Speaker, size: int) -> None:
    raw = speaker()
    raw.send(*fragments(*pieces(padded(500), size)))
    assert heard(raw) == "hello"


def test_fragments_may_be_empty(speaker: Speaker) -> None:
    raw = speaker()
    raw.send(*fragments(b"", b"", saying("hello"), b"", b""))
    assert heard(raw) == "hello"
    raw.send(*fragments(b"", b""))
    assert READ in notice(raw)


def test_fragments_may_come_one_by_one(speaker: Speaker) -> None:
    raw = speaker()
    raw.send_apart(fragments(*pieces(saying("hello"), 5)))
    assert heard(raw) == "hello"


def test_control_frames_may_come_between_fragments(dial: Dial) -> None:
    raw = dial()
    first, *rest = fragments(*pieces(b"nonsense", 1))
    raw.send(first)
    for number, fragment in enumerate(rest):
        payload = str(number).encode()
        raw.send(Frame(PONG, b"unasked").encoded(), ping(payload))
        assert raw.event() == Frame(PONG, payload)  # before the message is whole
        raw.send(fragment)
    assert READ in notice(raw)


@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("before", [[], [text("nonsense")], fragments(b"non", b"sense"), [ping()]])
def test_nothing_can_be_continued_that_has_not_begun(dial: Dial, before: list[bytes], fin: bool) -> None:
    raw = dial()
    raw.send(*before, Frame(CONTINUATION, b"x", fin).encoded())
    assert raw.failure() == BROKEN


@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_nothing_can_begin_inside_a_message(dial: Dial, opcode: int, fin: bool) -> None:
    raw = dial()
    raw.send(Frame(TEXT, b"x", fin=False).encoded(), ping(b"between"))
    assert raw.event() == Frame(PONG, b"between")
    raw.send(Frame(opcode, b"x", fin).encoded())
    assert raw.failure() == BROKEN


# How it comes


@pytest.mark.ways
@pytest.mark.parametrize("size", [1, 2, 3, 5, 13])
def test_frames_may_come_in_pieces(speaker: Speaker, size: int) -> None:
    raw = speaker()
    words = [f"number {number}" for number in range(5)]
    frames = [part for number, said in enumerate(words) for part in (text(saying(said, f"k{number}")), ping())]
    raw.send_apart(pieces(b"".join(frames), size))
    assert [heard(raw) for _ in words] == words


@pytest.mark.ways
def test_many_messages_may_come_at_once(speaker: Speaker) -> None:
    raw = speaker()
    raw.send(*[text("nonsense")] * 500, text(saying("the end")))
    assert sum(READ in notice(raw) for _ in range(500)) == 500
    assert heard(raw) == "the end"


@pytest.mark.ways
def test_a_late_reader_misses_no_answer(dial: Dial) -> None:
    raw = dial()
    raw.send(*[ping(b"x" * 125)] * 2_000)
    raw.send(*[text("nonsense")] * 100)
    events = [raw.event() for _ in range(2_100)]
    assert [event.opcode for event in events].count(PONG) == 2_000
    assert sum(READ in event.payload.decode() for event in events) == 100
