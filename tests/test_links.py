"""Where the web addresses are in a text."""

from datetime import UTC, timedelta

import pytest
from bs4 import BeautifulSoup
from hypothesis import example, given
from hypothesis import strategies as st

from app import links
from app.fragments import Fragments
from app.links import Part, split
from app.messages import Cursor
from app.settings import Settings
from app.timeline import arrange
from tests.cast import message
from tests.hostile import BODIES

FRAGMENTS = Fragments(Settings(), "/static/none")

# Texts in which an address begins, ends, or is broken at any character.
pieces = st.sampled_from(
    [
        "http://",
        "HTTPS://",
        "www.",
        "example.org",
        "a.co",
        ":8000",
        "/path?q=1#f",
        "javascript:",
        "data:",
        "ftp://",
        "mailto:",
        "//",
        "ann@",
        '"',
        "'",
        "<",
        ">",
        "(",
        ")",
        " ",
        "\n",
        "`",
        "\u202e",
        "\u200b",
        "é",
        "🎉",
        "\uff5c",
    ]
)
texts = st.lists(pieces | st.text(st.characters(exclude_categories=()), max_size=3), max_size=10).map("".join)


def hrefs(text: str) -> list[str]:
    return [part.href for part in split(text) if part.href]


@pytest.mark.breaks("app/links.py", "if any(hint in lowered for hint in HINTS):", "if False:")
@given(texts)
@example("see http://example.org")
@example("see WWW.example.org")
def test_no_address_is_missed_for_want_of_a_hint(text: str) -> None:
    assert split(text) == links._found(text)


@given(texts)
@example("\ud800http://example.org\udfff")
@example("")
def test_the_parts_together_are_the_text(text: str) -> None:
    assert "".join(part.text for part in split(text)) == text


@given(texts)
@example("http://example.org/\"onmouseover='alert(1)'")
def test_whatever_is_linked_is_the_address_that_one_sees(text: str) -> None:
    for part in split(text):
        assert part.text
        if part.href:
            assert part.href in (part.text, f"http://{part.text}")
            assert part.href.lower().startswith(("http://", "https://"))


@given(texts)
@example('http://example.org/"onmouseover="alert(1)')
@example("http://example.org/'onmouseover='alert(1)")
def test_no_address_leaves_its_attribute(text: str) -> None:
    # An address may contain quotes, so it is the template that has to escape them.
    entries = arrange([message(1, text)], None, UTC, timedelta(0))
    page = BeautifulSoup(FRAGMENTS.appended(entries, Cursor("e", 1), "UTC"), "html.parser")
    for link in page.select(".message__body *"):
        assert link.name == "a"
        assert set(link.attrs) == {"href", "rel", "target"}
    assert [link["href"] for link in page.select(".message__body a")] == hrefs(text)


@given(texts)
def test_an_address_has_no_space_in_it(text: str) -> None:
    for href in hrefs(text):
        assert not any(character.isspace() for character in href)


@pytest.mark.parametrize(
    ("text", "href"),
    [
        ("http://example.org", "http://example.org"),
        ("https://example.org/a?b=c&d=e#f", "https://example.org/a?b=c&d=e#f"),
        ("HTTPS://Example.org/X", "HTTPS://Example.org/X"),
        ("www.example.org/a", "http://www.example.org/a"),
        ("WWW.Example.org", "http://WWW.Example.org"),
        ("http://localhost:8000/x", "http://localhost:8000/x"),
        ("http://192.168.0.1/", "http://192.168.0.1/"),
        ("https://müller.example/straße", "https://müller.example/straße"),
        ("https://en.wikipedia.org/wiki/Tea_(disambiguation)", "https://en.wikipedia.org/wiki/Tea_(disambiguation)"),
    ],
)
def test_a_web_address_is_a_link(text: str, href: str) -> None:
    assert split(text) == (Part(text, href),)


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("see https://example.org.", "https://example.org"),
        ("(see https://example.org/a)", "https://example.org/a"),
        ("https://example.org, or not", "https://example.org"),
        ("is it www.example.org?", "www.example.org"),
        ("<https://example.org/>", "https://example.org/"),
        ('"https://example.org/"', "https://example.org/"),
        ("line\nhttps://example.org/\nline", "https://example.org/"),
    ],
)
def test_what_stands_around_an_address_does_not_belong_to_it(text: str, linked: str) -> None:
    assert [part.text for part in split(text) if part.href] == [linked]


def test_text_and_addresses_take_turns() -> None:
    assert split("a http://b.example c www.d.org") == (
        Part("a "),
        Part("http://b.example", "http://b.example"),
        Part(" c "),
        Part("www.d.org", "http://www.d.org"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "javascript://example.org/%0aalert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox(1)",
        "file:///etc/passwd",
        "ftp://example.org",
        "mailto:ann@example.org",
        "ann@example.org",
        "//example.org",
        "example.org",
        "main.py",
        "README.md",
        "192.168.0.1",
        "http://",
        "www.",
        "1.5",
    ],
)
def test_nothing_else_is_a_link(text: str) -> None:
    assert split(text) == (Part(text),)


def test_hostile_texts_link_to_nothing_but_the_web() -> None:
    found = [href for text in BODIES for href in hrefs(text)]
    assert found
    assert [href for href in found if not href.lower().startswith("http://")] == []


def test_no_text_has_no_parts() -> None:
    assert split("") == ()


@pytest.mark.breaks("app/links.py", "if INVISIBLE.search(match.text):", "if False:")
@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\u00ad", "\u2060"], ids=ascii)
def test_an_address_that_could_read_as_another_is_no_link(hidden: str) -> None:
    assert [part.href for part in split(f"http://example.org/{hidden}gro.live")] == [None]
