"""Where the addresses are in a text."""

from datetime import UTC, timedelta

import pytest
from bs4 import BeautifulSoup
from hypothesis import example, given
from hypothesis import strategies as st

from app.chat.links import MOST_TRIED, Part, shown_name, split
from app.chat.messages import Cursor
from app.chat.timeline import arrange
from app.html.fragments import Fragments
from app.settings import Settings
from tests.cast import LOBBY, message
from tests.hostile import BODIES

FRAGMENTS = Fragments(Settings(), "/static/none")

# Texts in which an address begins, ends, or is broken at any character.
PIECES = (
    *("http://", "HTTPS://", "www.", "example.org", "a.co", ":8000", "/path?q=1#f", "[::1]", "javascript:", "data:"),
    *("ftp://", "mailto:", "//", "ann@", "@", "%40", "\\", '"', "'", "<", ">", "(", ")", "[", "]", " ", "\n", "`"),
    *("\u202e", "\u200b", "\u00e9", "\U0001f389", "\uff5c", "\u300a", "\u3002", "\u2026", "\u65e5", "\u0430"),
)
texts = st.lists(st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=()), max_size=3), max_size=10).map(
    "".join
)


def links_of(text: str) -> list[tuple[str, str | None]]:
    return [(part.text, part.href) for part in split(text) if part.href]


@given(texts)
@example("\ud800http://example.org\udfff")
@example("")
def test_the_parts_together_are_the_text(text: str) -> None:
    assert "".join(part.text for part in split(text)) == text


@pytest.mark.breaks("app/chat/links.py", "return DECEIVES", "pass")
@pytest.mark.parametrize("text", ["https://a.co@example.org/", "https://a.co%40example.org/"])
def test_an_address_with_a_user_part_is_no_link(text: str) -> None:
    assert list(links_of(text)) == []


@given(texts)
@example("http://example.org/\"onmouseover='alert(1)'")
@example("https://a.co@example.org/")
@example("https://a.co%40example.org/")
def test_a_link_leads_to_the_address_it_shows(text: str) -> None:
    for address, href in links_of(text):
        assert href in (address, f"https://{address}", f"mailto:{address}")
        assert href.lower().startswith(("http://", "https://", "mailto:"))
        assert not any(character.isspace() for character in href)
        if not href.startswith("mailto:"):
            authority = href.split("//", 1)[1].split("/")[0].split("?")[0].split("#")[0]
            assert not {"@", "%", "\\"} & set(authority)


@given(texts)
@example('http://example.org/"onmouseover="alert(1)')
@example("http://example.org/'onmouseover='alert(1)")
def test_no_address_leaves_its_attribute(text: str) -> None:
    # An address may contain quotes, so it is the template that has to escape them.
    entries = arrange([message(1, text)], None, UTC, timedelta(0))
    page = BeautifulSoup(FRAGMENTS.changes(LOBBY, entries, Cursor("e", 1), "UTC"), "html.parser")
    for link in page.select(".message__body a"):
        assert set(link.attrs) - {"target"} == {"href", "rel"}
    for element in page.select(".message__body :not(a)"):  # what markup comes to
        assert set(element.attrs) <= {"class", "tabindex", "start"}
    if not page.select(".message__body :not(a)"):
        assert [link["href"] for link in page.select(".message__body a")] == [href for _, href in links_of(text)]


WIDE = "\u3002\u3001\uff0c\uff01\uff1f\uff1a\uff1b\u300d\u3011\uff09"
CLOSING = "'\"\u2019\u201d\u00bb\u203a\u300d\u300f\u061f\u0964"

# Each text, and what of it is linked. Where a href is not said, it is the text.
TABLE: list[tuple[str, str | tuple[str, str] | None]] = [
    ("http://example.org", "http://example.org"),
    ("https://example.org/a?b=c&d=e#f", "https://example.org/a?b=c&d=e#f"),
    ("HTTPS://Example.org/X", "HTTPS://Example.org/X"),
    ("http://localhost:8000/x", "http://localhost:8000/x"),
    ("http://192.168.0.1/", "http://192.168.0.1/"),
    ("http://a_b.example.org/", "http://a_b.example.org/"),
    ("http://example.org:80#x", "http://example.org:80#x"),
    ("https://web.archive.org/web/2020/https://example.org/", "https://web.archive.org/web/2020/https://example.org/"),
    ("https://example.org/ann@b", "https://example.org/ann@b"),
    ("line\nhttps://example.org/\nline", "https://example.org/"),
    # Before it any letter may stand
    ("\u898b\u3066https://a.com/x", "https://a.com/x"),
    ("seehttps://a.com/x", "https://a.com/x"),
    ("\u898bwww.example.com", ("www.example.com", "https://www.example.com")),
    # "www." means HTTPS
    ("www.example.com", ("www.example.com", "https://www.example.com")),
    ("is it WWW.Example.org/a?", ("WWW.Example.org/a", "https://WWW.Example.org/a")),
    ("awww.example.com", None),
    ("www.example", None),
    # Letters of any script in a path stay
    ("https://ja.wikipedia.org/wiki/\u65e5\u672c", "https://ja.wikipedia.org/wiki/\u65e5\u672c"),
    ("https://m\u00fcller.example/stra\u00dfe", "https://m\u00fcller.example/stra\u00dfe"),
    # Punctuation and brackets end it
    (
        "\u300a\u4e00\u5c3a\u300b\u5f53\u5f53\u7f51http://t.cn/RUy3HJN\u300a\u4e9a\u9a6c\u900a",
        "http://t.cn/RUy3HJN",
    ),
    *[
        (f"http://a.co/x{mark}\u6b21", "http://a.co/x")
        for mark in "\u3002\u3001\uff0c\uff01\uff1f\uff1a\uff1b\u300d\u3011\uff09"
    ],
    *[
        (f"https://a.com/foo{mark}", "https://a.com/foo")
        for mark in (".", ",", "!", "?", ":", ";", "\u2026", "...", "?!")
    ],
    *[
        (f"https://a.com/foo{mark} x", "https://a.com/foo")
        for mark in "'\"\u2019\u201d\u00bb\u203a\u300d\u300f\u061f\u0964"
    ],
    *[(f"https://a.com{mark}", "https://a.com") for mark in (".", ",", "!", "\u2026", "\u201d", ")", "]")],
    ("(see https://example.org/a)", "https://example.org/a"),
    ("[https://example.org/a]", "https://example.org/a"),
    ("<https://example.org/>", "https://example.org/"),
    ("**https://example.org/a**", "https://example.org/a"),
    ("https://en.wikipedia.org/wiki/Tea_(disambiguation)", "https://en.wikipedia.org/wiki/Tea_(disambiguation)"),
    ("(https://en.wikipedia.org/wiki/Tea_(disambiguation))", "https://en.wikipedia.org/wiki/Tea_(disambiguation)"),
    ("https://a.com/?q={a}", "https://a.com/?q={a}"),
    ("https://a.com\U0001f389", "https://a.com"),
    ("https://a.com/a|b", "https://a.com/a"),
    ("https://a.com\\@evil.com", "https://a.com"),
    # An address of IPv6
    ("http://[::1]:8080/x", "http://[::1]:8080/x"),
    ("http://[2001:db8::7]", "http://[2001:db8::7]"),
    ("http://[::x]/", None),
    ("http://[1:2]/", None),
    # What is not seen
    *[(f"https://a.com/x{hidden}y", "https://a.com/x") for hidden in "\u200b\u202e\u2066\u00ad\u2060\ufeff"],
    # What deceives
    ("https://google.com@evil.com/", None),
    ("https://google.com:443@evil.com/", None),
    ("https://google.com%40evil.com/", None),
    ("https://@evil.com/", None),
    ("www.google.com@evil.com", None),
    # E-mail
    ("ann@example.org", ("ann@example.org", "mailto:ann@example.org")),
    ("mailto:ann.b+c@example.org.", ("ann.b+c@example.org", "mailto:ann.b+c@example.org")),
    ("<ann@example.org>", ("ann@example.org", "mailto:ann@example.org")),
    ("\u898b\u3066ann@example.org", ("ann@example.org", "mailto:ann@example.org")),
    ("ann@example", None),
    ("@ann", None),
    ("ann@bob@example.org", None),
    ("ann@192.168.0.1", None),
    # What is none
    *[(text, None) for text in ("hello", "http://", "www.", "1.5", "main.py", "README.md", "example.org", "10.0.0.1")],
    *[(text, None) for text in ("javascript:alert(1)", "javascript://example.org/%0aalert(1)", "//example.org")],
    *[(text, None) for text in ("data:text/html,<script>alert(1)</script>", "file:///etc/passwd", "ftp://example.org")],
    ("http://-a.com/", None),
    ("http://\u3042\u3042.\u200b", "http://\u3042\u3042"),
    ("https://https://example.org", "https://example.org"),
]


@pytest.mark.parametrize(("text", "link"), TABLE, ids=lambda value: ascii(value)[:40])
def test_addresses_are_linked(text: str, link: str | tuple[str, str] | None) -> None:
    expected = [] if link is None else [(link, link)] if isinstance(link, str) else [link]
    assert links_of(text) == expected


def test_text_and_addresses_take_turns() -> None:
    assert split("a http://b.example,https://c.example/ www.d.org") == (
        Part("a "),
        Part("http://b.example", "http://b.example"),
        Part(","),
        Part("https://c.example/", "https://c.example/"),
        Part(" "),
        Part("www.d.org", "https://www.d.org"),
    )


@pytest.mark.breaks("app/chat/links.py", "if _looks_latin(label.lower()) else label", "if False else label")
@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("\u0430\u0440\u0440\u04cf\u0435.com", "xn--80ak6aa92e.com"),  # all of it Cyrillic
        ("p\u0430ypal.com", "xn--pypal-4ve.com"),
        ("\u03bf\u03c1\u03bf.gr", "xn--0xaaf.gr"),
        ("\u0440\u043e\u0441\u0441\u0438\u044f.\u0440\u0444", "\u0440\u043e\u0441\u0441\u0438\u044f.\u0440\u0444"),
        ("m\u00fcller.example", "m\u00fcller.example"),
        ("\u65e5\u672ctokyo.jp", "\u65e5\u672ctokyo.jp"),
        ("Example.org", "Example.org"),
    ],
)
def test_look_alike_hosts_are_shown_in_punycode(host: str, shown: str) -> None:
    assert shown_name(host) == shown
    (part,) = split(f"https://{host}/x")
    assert (part.href, part.shown or part.text) == (f"https://{host}/x", f"https://{shown}/x")


@pytest.mark.breaks("app/chat/links.py", "for _ in range(MOST_TRIED):", "while True:")
def test_only_the_first_addresses_are_linked() -> None:
    assert len(links_of("http://a.co " * (MOST_TRIED + 1))) == MOST_TRIED


def test_hostile_texts_link_to_nothing_but_the_web() -> None:
    found = [href for text in BODIES for _, href in links_of(text)]
    assert found
    assert [href for href in found if not str(href).lower().startswith(("http://", "https://", "mailto:"))] == []


def test_no_text_has_no_parts() -> None:
    assert split("") == ()
