"""What comes from outside costs no more than its size: twice as much of it is at most twice the work.

Work is measured as the time of the processor that a function takes, of which noise only ever adds to: the least of
several tries is judged, and only texts that cost something at all. Four times the text is compared, so that what is
linear (4 times the work) is well apart from what goes back to the start for each piece (16 times).
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from time import thread_time_ns
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from app.chat.frames import parse, parse_cursor
from app.chat.limits import is_among as is_address_among
from app.chat.limits import site
from app.chat.links import split
from app.chat.markup import parse as parse_markup
from app.chat.messages import Refused, clean
from app.html.etags import is_among
from app.html.highlight import highlighted
from app.web.cookies import drop_foreign_cookies
from app.web.forms import read_form
from app.web.identity import Signer
from app.web.security import is_foreign, is_ours
from tests.hostile import costly

SIZE = 10_000  # characters; the other one is four times as long
TRIES = 5
MOST = 8.0  # times the work, for four times the text
SMALL = 300_000  # nanoseconds that are not worth comparing
LARGE = 10**9  # a limit that is none
LIFETIME = timedelta(days=1)


def _headers(name: str) -> Callable[[str], Any]:
    def connection(text: str) -> HTTPConnection:
        value = text.encode("utf-8", "replace")
        return HTTPConnection({"type": "http", "method": "POST", "headers": [(name.encode(), value)]})

    return connection


def read_cookies(connection: HTTPConnection) -> object:
    drop_foreign_cookies(connection.scope)
    return HTTPConnection(connection.scope).cookies


cookie, origin = _headers("cookie"), _headers("origin")
# Each takes a text as it comes from outside, without a limit on it.
READERS: dict[str, Callable[[str], object]] = {
    "body": lambda text: clean(text, LARGE),
    "frame": lambda text: parse(text, LARGE),
    "message in a frame": lambda text: parse('{"key": "k", "message": "' + text, LARGE),
    "field in a frame": lambda text: parse('{"x": [' + text, LARGE),
    "cursor": parse_cursor,
    "form": lambda text: read_form(text.encode("utf-8", "replace")),
    "field in a form": lambda text: read_form(b"name=" + text.encode("utf-8", "replace")),
    "cookie": lambda text: read_cookies(cookie(text)),
    "our cookie": lambda text: Signer(["a secret key of ours"], LIFETIME).read(text),
    "host": lambda text: is_ours(text, ()),
    "origin": lambda text: is_foreign(origin(text).scope, ()),
    "etag": lambda text: is_among('"etag"', text),
    "address": lambda text: site.__wrapped__(text),
    "links": lambda text: split(text),
    "markup": parse_markup,
    "code": lambda text: [list(highlighted(text, language)) for language in ("python", "c++", "html", "sh")],
    "proxy": lambda text: is_address_among.__wrapped__(text, "127.0.0.1,::1"),
}


def work(read: Callable[[str], object], text: str) -> int:
    """Return the nanoseconds that reading `text` takes."""
    began = thread_time_ns()
    with suppress(Refused, ValueError):
        read(text)
    return thread_time_ns() - began


def grows(read: Callable[[str], object], small: str, large: str) -> float:
    """Return how many times the work of `small` that of `large` is, four times as long."""
    ratio = 0.0
    for _ in range(TRIES):
        least = min(work(read, large) for _ in range(3))
        if least < SMALL:
            return 0.0
        ratio = least / max(1, max(work(read, small) for _ in range(3)))
        if ratio <= MOST:
            break
    return ratio


@pytest.mark.breaks(
    "app/web/cookies.py", 'own = b"; ".join(match[1] for match in found if match)', 'own = b"; ".join(cookies)'
)
@pytest.mark.parametrize("name", READERS)
def test_twice_as_much_is_at_most_twice_the_work(name: str) -> None:
    for small, large in zip(costly(SIZE), costly(4 * SIZE), strict=True):
        ratio = grows(READERS[name], small, large)
        assert ratio <= MOST, f"{ratio:.1f} times the work for four times {small[:20]!r} …"


def test_a_lexer_with_backtracking_is_found() -> None:
    """The test above can fail."""

    def read(text: str) -> int:
        ends = range(0, len(text), 100)
        return sum(text[start:end].count("b") for start in ends for end in ends)

    # 64 times the work, since each stretch is looked at: what takes the processor's time meanwhile does not hide it.
    assert grows(read, "ab" * 2_500, "ab" * 10_000) > MOST
