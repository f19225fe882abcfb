"""Compressed messages: RFC 7692. What Autobahn's suite has in its parts 12 and 13."""

import zlib
from collections.abc import Callable
from random import Random

import pytest

from tests.protocol.conftest import Dial
from tests.protocol.parlor import LIMIT, READ, TOO_LONG, House, heard, is_alive, notice, saying
from tests.protocol.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFAULT_OFFER,
    PING,
    PONG,
    RSV1,
    TAIL,
    TEXT,
    Deflate,
    Frame,
    Raw,
    fragments,
    pieces,
    text,
)
from tests.ways import needs_our_protocols

Speaker = Callable[..., Raw]

BROKEN, NOT_TEXT, TOO_BIG = 1002, 1007, 1009
SERVER, CLIENT = "server_max_window_bits", "client_max_window_bits"
TAKEN = [
    "permessage-deflate",
    DEFAULT_OFFER,
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    *(f"permessage-deflate; {SERVER}={bits}" for bits in range(9, 16)),
    *(f"permessage-deflate; {CLIENT}={bits}" for bits in range(8, 16)),
    f"permessage-deflate; {SERVER}=9; {CLIENT}=9",
    f'permessage-deflate; {SERVER}="10"; {CLIENT}="10"',
    f"permessage-deflate; {CLIENT}; {SERVER}=15; client_no_context_takeover; server_no_context_takeover",
    f"permessage-deflate ;{CLIENT} ; {SERVER} = 11",
]
# What has to be declined: RFC 7692, section 7.1. A window of 8 bits may be, and zlib has none.
DECLINED = [
    f"permessage-deflate; {SERVER}=8",
    f"permessage-deflate; {SERVER}",
    *(f"permessage-deflate; {SERVER}={bits}" for bits in ("7", "16", "0", "-1", "010", "x", "1.5")),
    *(f"permessage-deflate; {CLIENT}={bits}" for bits in ("7", "16", "0", "-1", "010", "x", "1.5")),
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; client_no_context_takeover=true",
    "permessage-deflate; unknown",
    "permessage-deflate; server_max_window=10",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
    f"permessage-deflate; {SERVER}=10; {SERVER}=10",
    f"permessage-deflate; {SERVER}=10; {SERVER}=11",
    f"permessage-deflate; {CLIENT}; {CLIENT}",
    f"permessage-deflate; {CLIENT}; {CLIENT}=10",
    "permessage-bzip2",
    "x-webkit-deflate-frame",
    "PERMESSAGE-DEFLATE; unknown",
]


def deflated(content: bytes, level: int = 6, bits: int = 9, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    """Return the payload of a message that stands for itself."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -bits, strategy=strategy)
    return (deflater.compress(content) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def compressed(payload: bytes, opcode: int = TEXT) -> bytes:
    return Frame(opcode, payload, rsv=RSV1).encoded()


def noise(size: int, seed: int = 1) -> str:
    """Return text of which nothing repeats."""
    return "".join(Random(seed).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=size))  # noqa: S311


def deflate(raw: Raw) -> Deflate:
    assert raw.deflate
    return raw.deflate


# Negotiation. What the answer may be is judged by the client: `raw.agreed`.


@pytest.mark.breaks("app/delivery/compression.py", "client_no_context_takeover=True,", "")
@pytest.mark.parametrize("offer", [*(pytest.param(offer, marks=pytest.mark.ways) for offer in TAKEN[:3]), *TAKEN[3:]])
def test_an_offer_is_taken_and_holds_both_ways(speaker: Speaker, offer: str) -> None:
    raw = speaker(offer)
    repeated = noise(6_000)
    for number, words in enumerate(("short", repeated, repeated, repeated[:700] * 8, noise(18_000, 2), "short")):
        raw.send(compressed(deflate(raw).deflate(saying(words, str(number)))))
        assert heard(raw) == words


@pytest.mark.parametrize("offer", DECLINED)
def test_an_offer_that_cannot_be_taken_is_declined(dial: Dial, offer: str) -> None:
    raw = dial(offer)
    assert raw.deflate is None
    assert is_alive(raw)
    raw.send(compressed(deflated(b"nonsense")))
    assert raw.failure() == BROKEN


@pytest.mark.parametrize("first", DECLINED)
def test_one_of_several_offers_is_accepted(dial: Dial, first: str) -> None:
    raw = dial(f"{first}, {DEFAULT_OFFER}")
    raw.send(compressed(deflate(raw).deflate(b"nonsense")))
    assert READ in notice(raw)


def test_offers_may_come_in_several_headers(dial: Dial) -> None:
    raw = dial(DEFAULT_OFFER, "/ws", "Sec-WebSocket-Extensions: unknown")
    raw.send(compressed(deflate(raw).deflate(b"nonsense")))
    assert READ in notice(raw)


def test_a_repeated_offer_is_accepted_once(dial: Dial) -> None:
    raw = dial(f"{DEFAULT_OFFER}, {DEFAULT_OFFER}, permessage-deflate; {SERVER}=10")
    raw.send(compressed(deflate(raw).deflate(b"nonsense")))
    assert READ in notice(raw)


def test_compression_needs_an_offer(speaker: Speaker) -> None:
    raw = speaker()
    assert "sec-websocket-extensions" not in raw.answer.fields
    raw.send(text(saying("x" * 10_000)))
    assert heard(raw) == "x" * 10_000


def test_room_messages_are_compressed(speaker: Speaker) -> None:
    raw = speaker(DEFAULT_OFFER)
    raw.send(text(saying("x" * 10_000)))
    while len((event := raw.event()).payload) < 10_000:
        pass
    assert event.rsv == RSV1


# What comes in


@pytest.fixture
def raw(dial: Dial) -> Raw:
    """A connection that compresses."""
    return dial(DEFAULT_OFFER)


@pytest.mark.parametrize("size", [0, 1, 2, 124, 125, 126, 127, 2043, 2044, 2045, 65_535, 65_536, 131_072])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_compressed_message_may_have_any_size(raw: Raw, size: int, level: int) -> None:
    for content in (b"x" * size, noise(size).encode()):
        raw.send(compressed(deflated(content, level)))
        assert READ in notice(raw)


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, 4])
def test_a_message_may_be_compressed_in_any_way(speaker: Speaker, level: int, strategy: int) -> None:
    raw = speaker(DEFAULT_OFFER)
    words = noise(1_000) + "x" * 1_000
    raw.send(compressed(deflated(saying(words), level, strategy=strategy)))
    assert heard(raw) == words


# "Hello" in the ways of RFC 7692, section 7.2.3.
HELLO = {
    "one block": "f248cdc9c90700",
    "a block that is not compressed": "000500faff48656c6c6f00",
    "a last block": "f348cdc9c9070000",
    "two blocks": "f248050000 00ffffcac9c90700",
}


@pytest.mark.parametrize("way", HELLO)
def test_the_examples_of_the_rfc_are_read(raw: Raw, way: str) -> None:
    for _ in range(3):
        raw.send(compressed(bytes.fromhex(HELLO[way])))
        assert READ in notice(raw)
    assert is_alive(raw)


@needs_our_protocols
@pytest.mark.breaks("app/delivery/compression.py", "PerMessageDeflate(True, True,", "PerMessageDeflate(False, True,")
def test_after_a_last_block_messages_are_read_as_before(speaker: Speaker) -> None:
    """A compressor may end its stream (BFINAL) with a message. What it sends next begins another."""
    raw = speaker(DEFAULT_OFFER)
    for words in ("one", "two", "three"):
        deflater = zlib.compressobj(9, zlib.DEFLATED, -9)
        raw.send(compressed(deflater.compress(saying(words, words)) + deflater.flush(zlib.Z_FINISH) + b"\0"))
        assert heard(raw) == words
    raw.send(compressed(deflated(saying("four", "four"))))
    assert heard(raw) == "four"


@needs_our_protocols
@pytest.mark.breaks("app/delivery/compression.py", "PerMessageDeflate(True, True,", "PerMessageDeflate(False, True,")
def test_after_a_last_block_nothing_is_kept(house: House, raw: Raw) -> None:
    before, stored = house.server.memory, compressed(deflated(b"x" * 1_000_000, level=0))
    for _ in range(40):
        raw.send(compressed(bytes.fromhex(HELLO["a last block"])), stored)
        notice(raw)
        notice(raw)
    assert house.server.memory - before < 20_000_000


@needs_our_protocols
@pytest.mark.breaks(
    "app/delivery/websocket_rules.py", "if self._fragments + unread > self.max_message_size:", "if False:"
)
def test_after_a_last_block_a_message_has_an_end(house: House, raw: Raw) -> None:
    """What comes after it in the same message is not read, and counts all the same."""
    before, unread = house.server.memory, Frame(CONTINUATION, b"x" * 1_000_000, fin=False).encoded()
    raw.send(Frame(TEXT, bytes.fromhex(HELLO["a last block"]), False, RSV1).encoded())
    raw.send_apart([unread] * 40)
    raw.send(Frame(PING).encoded())
    assert raw.failure() == TOO_BIG
    assert house.server.memory - before < 20_000_000


@pytest.mark.parametrize("payload", [b"\x00", b"\x02\x00", bytes.fromhex("000000ffff00"), b"\x03\x00\x00"])
def test_a_compressed_message_may_be_empty(raw: Raw, payload: bytes) -> None:
    raw.send(compressed(payload))
    assert READ in notice(raw)
    assert is_alive(raw)


@pytest.mark.ways
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_compressed_message_may_come_in_fragments(speaker: Speaker, size: int) -> None:
    """What is compressed is the message: the first fragment says so, and each is a piece of one stream."""
    raw = speaker(DEFAULT_OFFER)
    words = noise(300)
    raw.send(*fragments(*pieces(deflated(saying(words)), size), rsv=RSV1))
    assert heard(raw) == words


def test_compressed_fragments_may_be_empty(speaker: Speaker) -> None:
    raw = speaker(DEFAULT_OFFER)
    payload = deflated(saying("hello"))
    raw.send(*fragments(b"", payload[:5], b"", payload[5:], b"", rsv=RSV1))
    assert heard(raw) == "hello"


def test_control_frames_come_uncompressed_between_compressed_fragments(raw: Raw) -> None:
    first, *rest = fragments(*pieces(deflated(b"nonsense"), 1), rsv=RSV1)
    raw.send(first)
    for fragment in rest:
        raw.send(Frame(PING, b"\xff\x00").encoded())
        assert raw.event() == Frame(PONG, b"\xff\x00")
        raw.send(fragment)
    assert READ in notice(raw)


def test_a_message_need_not_be_compressed(speaker: Speaker) -> None:
    raw = speaker(DEFAULT_OFFER)
    for number in range(6):
        words = f"{number} {noise(500)}"
        payload = saying(words, str(number))
        raw.send(compressed(deflate(raw).deflate(payload)) if number % 2 else text(payload))
        assert heard(raw) == words
    raw.send(*fragments(*pieces(saying("hello"), 9)))
    assert heard(raw) == "hello"


def test_bytes_may_be_compressed_as_well(raw: Raw) -> None:
    raw.send(compressed(deflated(b"\xff\xfe" * 100), BINARY))
    assert "it must be text" in notice(raw)


def test_a_compressed_message_may_arrive_in_pieces(speaker: Speaker) -> None:
    raw = speaker(DEFAULT_OFFER)
    raw.send_apart(pieces(compressed(deflated(saying("hello"))), 1))
    assert heard(raw) == "hello"


def test_without_a_bound_a_client_s_window_is_of_any_size(speaker: Speaker) -> None:
    """Who does not offer to bound its window (`client_max_window_bits`) looks back for 32,768 bytes."""
    raw = speaker("permessage-deflate")
    assert deflate(raw).client_bits == 15
    far = noise(16_000)
    payload = saying(far, pad=noise(16_000, 2) + far)
    squeezed = deflated(payload, 9, 15)
    assert len(squeezed) < len(deflated(payload, 9, 14)) - 5_000
    raw.send(compressed(squeezed))
    assert heard(raw) == far


# What is refused


@pytest.mark.parametrize("payload", [b"\xff", b"\xff" * 100, b"\x07", b"\x06\x00", noise(100).encode(), b"\0\0\0"])
def test_invalid_compressed_data_is_refused(raw: Raw, payload: bytes) -> None:
    raw.send(compressed(payload))
    assert raw.failure() in (BROKEN, NOT_TEXT)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_control_frames_are_never_compressed(raw: Raw, opcode: int) -> None:
    raw.send(compressed(deflated(b"\x03\xe8"), opcode))
    assert raw.failure() == BROKEN


@pytest.mark.parametrize("begins", [0, RSV1])
@pytest.mark.parametrize("fin", [True, False])
def test_only_the_first_fragment_says_that_a_message_is_compressed(raw: Raw, begins: int, fin: bool) -> None:
    payload = deflated(b"nonsense") if begins else b"nonsense"
    raw.send(Frame(TEXT, payload[:3], False, begins).encoded(), Frame(CONTINUATION, payload[3:], fin, RSV1).encoded())
    assert raw.failure() == BROKEN


@pytest.mark.parametrize("invalid", [b"\xff", b"x" * 100 + b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_compressed_text_is_text(dial: Dial, invalid: bytes) -> None:
    for frames in ([compressed(deflated(invalid))], fragments(*pieces(deflated(invalid), 2), rsv=RSV1)):
        raw = dial(DEFAULT_OFFER)
        raw.send(*frames)
        assert raw.failure() == NOT_TEXT


@pytest.mark.parametrize("level", [1, 9])
def test_the_limit_counts_characters_of_the_message(dial: Dial, level: int) -> None:
    for size in (LIMIT - 1, LIMIT):
        raw = dial(DEFAULT_OFFER)
        raw.send(compressed(deflated(b"x" * size, level, 12)))
        assert TOO_LONG in notice(raw)
    beyond = dial(DEFAULT_OFFER)
    beyond.send(compressed(deflated(b"x" * (LIMIT + 1), level, 12)))
    assert beyond.failure() == TOO_BIG


BOMB = deflated(b"x" * 60_000_000, 9, 12)  # in 60 kB


@pytest.mark.parametrize("size", [3, 100, 1_000, len(BOMB)])
def test_a_bomb_is_refused_before_it_goes_off(house: House, raw: Raw, size: int) -> None:
    """In fragments of which none alone is too large, or whole."""
    before = house.server.memory
    raw.send(*fragments(*pieces(BOMB, size), rsv=RSV1))
    assert raw.failure() == TOO_BIG
    assert house.server.memory - before < 20_000_000


# The judge of all that


def test_a_client_rejects_a_reference_beyond_its_window() -> None:
    """What is sent to it fits into the window that it agreed to, or fails an assertion, in whatever test it comes."""
    far = noise(2_000).encode()
    for repeated in ([far + noise(3_000, 2).encode() + far], [far, noise(3_000, 2).encode(), far]):
        sender = Deflate(client_bits=15)
        payloads = [sender.deflate(part) for part in repeated]
        content = b"".join(map(Deflate(server_bits=15).inflate, payloads))
        assert content == b"".join(repeated)
        narrow = Deflate(server_bits=10)
        with pytest.raises(zlib.error):
            b"".join(map(narrow.inflate, payloads))
