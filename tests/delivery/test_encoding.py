"""What a frame is on the wire."""

import zlib

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as Oracle
from websockets.frames import Opcode

from app.delivery.encoding import WINDOW_BITS, Encoding, Frame, Stream, encode

TEXTS = st.one_of(
    st.text(max_size=300), st.sampled_from(["", "é" * 62, "é" * 63, "x" * 125, "x" * 126, "x" * 65_535, "x" * 65_536])
)


class Browser:
    """Undoes the compression, with what it remembers of all messages before."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=-WINDOW_BITS)

    def read(self, data: bytes) -> str:
        first, payload = data[0], _payload(data)
        if first == 0xC1:
            payload = self._inflater.decompress(payload + b"\x00\x00\xff\xff")
        else:
            assert first == 0x81
        return payload.decode()


def _payload(data: bytes) -> bytes:
    length = data[1]
    start = {126: 4, 127: 10}.get(length, 2)
    payload = data[start:]
    assert len(payload) == (int.from_bytes(data[2:start]) if length > 125 else length)
    return payload


@given(TEXTS)
def test_a_plain_frame_follows_the_standard(text: str) -> None:
    assert encode(text, Encoding.PLAIN) == Oracle(Opcode.TEXT, text.encode()).serialize(mask=False)


def test_encoded_frames_stay_text() -> None:
    assert encode("hello", Encoding.TEXT) == "hello"
    assert Frame("hello").encoded(Encoding.TEXT) == "hello"


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["all", "all", "one alone", "joins"])), max_size=20))
def test_everybody_reads_a_stream_whenever_they_joined(steps: list[tuple[str, str]]) -> None:
    stream, browsers = Stream(), [Browser()]
    for text, what in steps:
        if what == "joins":
            browsers.append(Browser())
            greeting = Frame(text).encoded(Encoding.DEFLATED)
            assert isinstance(greeting, bytes) and browsers[-1].read(greeting) == text
            stream.restart()
        elif what == "one alone":
            alone = encode(text, Encoding.DEFLATED)
            assert isinstance(alone, bytes) and browsers[0].read(alone) == text
        else:
            data = stream.frame(text.encode())
            assert [browser.read(data) for browser in browsers] == [text] * len(browsers)


def test_a_known_draft_is_not_sent_again() -> None:
    stream = Stream()
    text = "".join(chr(33 + 7 * number % 90) for number in range(300)).encode()
    first, second = stream.frame(text), stream.frame(text)
    assert len(second) < len(first) / 5


def test_a_frame_for_several_is_encoded_once() -> None:
    frame = Frame("hello")
    for encoding in Encoding:
        assert frame.encoded(encoding) is frame.encoded(encoding)
