"""What a body may be."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.chat.characters import is_blank
from app.chat.messages import Cursor, Refused, clean

LONGEST = 30
# Everything Python calls a text, halves of surrogate pairs too, with what is awkward more often than chance has it.
ANYTHING = st.text(st.sampled_from(" \n\r\t\0\x85ab\u200b\u2028\ud800\udfffé") | st.characters(exclude_categories=()))

INVISIBLE = {
    "zero width space": "\u200b",
    "line separator": "\u2028",
    "word joiner": "\u2060",
    "hangul filler": "\u3164",
    "hangul choseong filler": "\u115f",
    "halfwidth hangul filler": "\uffa0",
    "blank braille pattern": "\u2800",
    "variation selector": "\ufe0f",
    "combining grapheme joiner": "\u034f",
    "a tag of a flag": "\U000e0067",
}


@given(ANYTHING)
@example("\n \n")
@example("a" * LONGEST + "\n" * LONGEST)
@example("\r" * LONGEST + "a")
@example("a\u3000\n\u3000")
def test_any_cleaned_body_can_be_shown_and_stored(body: str) -> None:
    try:
        text = clean(body, LONGEST)
    except Refused as refusal:
        assert refusal.reason in ("blank", "too-long")
        return
    assert not is_blank(text)
    assert len(text) <= LONGEST
    assert text == text.rstrip()
    assert not text.startswith("\n")
    assert not {unicodedata.category(character) for character in text if character not in "\n\t"} & {"Cc", "Cs"}
    assert text.encode("utf-8").decode("utf-8") == text
    assert clean(text, LONGEST) == text


@given(ANYTHING)
def test_only_the_length_of_the_cleaned_body_counts(body: str) -> None:
    try:
        text = clean(body, len(body))
    except Refused as refusal:
        assert refusal.reason == "blank"
        return
    assert clean(body, len(text)) == text
    if len(text) > 1:
        with pytest.raises(Refused, match="too long"):
            clean(body, len(text) - 1)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).map(lambda text: f"a{text}b"))
def test_deliberate_settings_are_kept(body: str) -> None:
    assert clean(body, len(body)) == body


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_become_one_kind(end: str) -> None:
    assert clean(f"one{end}two{end}{end}three", 99) == "one\ntwo\n\nthree"


def test_blank_lines_around_a_text_go_and_its_indentation_stays() -> None:
    assert clean("\r\n\n  first\n\n\tlast \t\n\n", 99) == "  first\n\n\tlast"


def test_a_first_line_of_nothing_but_spaces_is_blank_too() -> None:
    assert clean("  \n\t\n  hello", 99) == "  hello"


def test_control_characters_are_replaced_and_not_dropped() -> None:
    assert clean("a\0b\x1b[31mc\ud800d", 99) == "a\ufffdb\ufffd[31mc\ufffdd"


@pytest.mark.parametrize("body", ["", " ", "\n\r\n", "\t \n", "\u00a0\u3000", "\u200b\u2060"])
def test_a_blank_body_is_refused(body: str) -> None:
    with pytest.raises(Refused) as refused:
        clean(body, 99)
    assert refused.value.reason == "blank"


@pytest.mark.parametrize("character", INVISIBLE.values(), ids=INVISIBLE.keys())
def test_a_body_that_nobody_could_see_is_blank(character: str) -> None:
    assert is_blank(character)
    assert is_blank(f" {character}\n{character}")
    assert not is_blank(f"{character}a")


@pytest.mark.parametrize("emoji", ["\U0001f600", "\U0001fae8", "\U0001fa75", "\U0001fae9"])
def test_an_emoji_is_not_blank_even_where_it_is_newer_than_the_server(emoji: str) -> None:
    assert clean(emoji, 1) == emoji


def test_the_longest_body_is_taken_and_one_character_more_is_not() -> None:
    assert clean("x" * 4000, 4000) == "x" * 4000
    with pytest.raises(Refused) as refused:
        clean("x" * 4001, 4000)
    assert refused.value.reason == "too-long"
    assert refused.value.sentence == "This message is too long: 4,001 characters. The limit is 4,000."


def test_a_character_counts_once_however_many_bytes_it_takes() -> None:
    assert clean("🎉" * 10, 10) == "🎉" * 10


def test_a_cursor_reads_as_it_is_sent() -> None:
    assert str(Cursor("0a1b2c3d", 42)) == "0a1b2c3d:42"
