"""What is searched for, and in what."""

import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.messages import Refused
from app.chat.search import (
    LONGEST_WORD,
    MOST_TERMS,
    SHOWN,
    Query,
    Term,
    excerpt,
    hits,
    parse_query,
    score,
    spans,
    words,
)

TEXTS = st.text(st.sampled_from("aAbü 用户ク.-:\"'🚀\u0301\n0"), max_size=60)


@pytest.mark.breaks("app/chat/search.py", "if unicodedata.combining(character) in JOINING", "")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("don't foo_bar v2.0", ["don", "t", "foo", "bar", "v2", "0"]),
        ("重跑gen-itgc后", ["重", "跑", "gen", "itgc", "后"]),
        ("用户db", ["用", "户", "db"]),
        ("Überprüfen u\u0308berprufen", ["uberprufen", "uberprufen"]),
        ("Straße Øre Żółć", ["strasse", "ore", "zolc"]),
        ("hi🚀👩‍💻", ["hi", "🚀", "👩", "💻"]),
        ("👍🏽", ["👍"]),
        ("हिन्दी", ["हिन्दी"]),
        ("ไทย", ["ไ", "ท", "ย"]),
        ("½ ﬁne", ["1", "2", "fine"]),
        ("ガ", ["ガ"]),
        ("שָׁלוֹם", ["שלום"]),
        ("...", []),
        ("x" * 1000, ["x" * LONGEST_WORD]),
    ],
)
def test_a_text_is_divided_into_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(max_size=80))
def test_words_have_no_spaces_and_stand_where_they_say(text: str) -> None:
    for word in spans(text):
        assert word.text
        assert not any(character.isspace() or character in "'\"\\" or ord(character) < 0x30 for character in word.text)
        assert 0 <= word.start < word.end <= len(text)
        assert word.text == unicodedata.normalize("NFC", word.text)
    assert words(text) == [word.text for word in spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lunch market", Query((Term(("lunch",)), Term(("market",), True)))),
        ("lunch market ", Query((Term(("lunch",)), Term(("market",), True)))),
        ('"at the market"', Query((Term(("at", "the", "market")),))),
        ('"at the', Query((Term(("at", "the")),))),
        ("重跑", Query((Term(("重", "跑")),))),
        ("gen-it", Query((Term(("gen", "it"), True),))),
        ("a", Query((Term(("a",)),))),
        ("from:ann in:lobby x1", Query((Term(("x1",), True),), "ann", "lobby")),
        ('FROM:"Ann Lee"', Query(author="Ann Lee")),
        ("mentions:me", Query(mentioned="me")),
        ("before:2026-11-29 after:2026-01-01", Query(before=date(2026, 11, 29), after=date(2026, 1, 1))),
        ("http://x.org", Query((Term(("http", "x", "org"), True),))),
        ("from: ", Query((Term(("from",), True),))),
        ("!?", Query()),
        ("", Query()),
    ],
)
def test_a_query_has_terms_and_filters(text: str, expected: Query) -> None:
    assert parse_query(text) == expected


@pytest.mark.parametrize(
    "text", ["before:tomorrow", "after:2026-13-01", "after:9999-12-31", "before:0001-01-01", "before:29.11.2026"]
)
def test_a_date_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="2026-11-29"):
        parse_query(text)


@given(TEXTS)
def test_any_query_is_bounded(text: str) -> None:
    query = parse_query(text * 20)
    assert len(query.terms) <= MOST_TERMS


@given(TEXTS, TEXTS)
def test_a_text_that_has_a_phrase_is_hit_by_it_and_stays_whole(before: str, phrase: str) -> None:
    text = f"{before} {phrase}"
    found = tuple(words(phrase))
    terms = (Term(found),) if found else ()
    assert bool(hits(text, terms)) == bool(found)
    pieces = excerpt(text, terms)
    assert "".join(piece for piece, _ in pieces) == text
    assert all(words(piece) for piece, is_hit in pieces if is_hit)


@pytest.mark.breaks("app/chat/search.py", "start >= apart[-1][1]", "True")
def test_hits_do_not_overlap() -> None:
    assert hits("abc abc d", parse_query("abc ab").terms) == [(0, 3), (4, 7)]


def test_an_excerpt_shows_the_first_hit_and_what_is_around_it() -> None:
    text = "before " * 100 + "the needle " + "after " * 100
    pieces = excerpt(text, parse_query("needle").terms)
    assert (pieces[0], pieces[-1]) == (("…", False), ("…", False))
    assert ("needle", True) in pieces
    assert len("".join(piece for piece, _ in pieces)) == SHOWN + 2


@pytest.mark.parametrize(
    ("better", "worse", "query"),
    [
        ("tea tea tea", "tea or coffee, as you like it, or something else", "tea"),
        ("market day", "marketing day", "market"),
        ("short tea", "tea " + "and much else " * 50, "tea"),
    ],
)
def test_results_with_more_and_closer_hits_come_first(better: str, worse: str, query: str) -> None:
    terms = parse_query(query).terms
    assert score(better, terms) > score(worse, terms)
