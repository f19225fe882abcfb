"""What a browser may say over its socket."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.chat.frames import (
    LARGEST_POSITION,
    MOST_DRAFTS,
    Fields,
    Frame,
    Malformed,
    Resume,
    Say,
    Typing,
    parse,
    parse_cursor,
)
from app.chat.messages import Cursor, Draft

LARGEST = 10_000

any_text = st.text(st.characters(exclude_categories=()))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)
# A frame of the right fields with anything in them: far more of these come close to being one.
almost_frames = st.fixed_dictionaries(
    {},
    optional={
        "message": any_json | st.lists(st.text(max_size=5), max_size=3),
        "key": any_json | st.lists(st.sampled_from(["k1", "k2"]), max_size=3),
        "typing": any_json,
        "cursor": any_json | st.sampled_from(["", "0a1b2c3d:7", ":7", "e:"]),
        "headers": any_json,
    },
)
keys = st.text("azAZ09._:~+/=-", min_size=1, max_size=20)
epochs = st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)
cursors = st.builds(Cursor, epochs, st.integers(0, LARGEST_POSITION))
drafts = st.lists(st.builds(Draft, st.text(max_size=20), keys), max_size=5)


def said(**fields: Any) -> Frame:
    return parse(json.dumps(fields), LARGEST)


def reason_of(frame: Frame) -> str | None:
    return frame.reason if isinstance(frame, Malformed) else None


def check(frame: Frame) -> None:
    """Whatever was sent, what comes of it is one of three things, each fit to be used."""
    match frame:
        case Malformed(reason, sentence):
            assert reason
            assert sentence.endswith(".")
        case Say(said):
            assert said
            check_drafts(said)
        case Typing(text):
            assert text is None or isinstance(text, str)
        case Resume(cursor, said):
            assert cursor is None or (cursor.epoch and 0 <= cursor.position <= LARGEST_POSITION)
            check_drafts(said)


def check_drafts(said: tuple[Draft, ...]) -> None:
    assert len(said) <= MOST_DRAFTS
    for draft in said:
        assert isinstance(draft.body, str)
        # The key goes back in the receipt, within quotes in a selector.
        draft.key.encode("utf-8")
        assert not set("\"'\\<># \n") & set(draft.key)
        assert not any(character < " " for character in draft.key)


# Whatever comes


@given(any_text)
@example("")
@example("\ud800")
@example("[" * 9_999)
@example('{"a":' * 1_500)
@example('{"cursor":' + "[" * 9_000)
@example("9" * 9_999)
@example('{"cursor": ' + "9" * 9_000 + "}")
@example("1e999999")
@example("NaN")
@example('{"message": NaN, "key": Infinity}')
@example('{"message": "a", "message": "b", "key": "k"}')
@example('{"message": "\\ud800", "key": "k"}')
@example('{"message": "a", "key": "\\ud800"}')
@example('{"message": "a", "key": "\\u0000"}')
@example('{"cursor": "\\ud800:1"}')
@example('\ufeff{"cursor": ""}')
@example("{}" * 4_000)
def test_any_text_is_a_frame_or_malformed_and_never_an_error(text: str) -> None:
    check(parse(text, LARGEST))


@given(any_json | almost_frames)
def test_any_json_is_a_frame_or_malformed_and_never_an_error(value: Any) -> None:
    check(parse(json.dumps(value), LARGEST))


@given(any_text | any_text.map(json.dumps))
def test_a_plain_text_is_never_a_message(text: str) -> None:
    # Nothing is said under a name that was not given; a text without a key belongs to nobody.
    assert isinstance(parse(text, LARGEST), Malformed)


# Well-formed frames


@given(drafts.filter(len))
def test_frames_arrive_in_order(drafts: list[Draft]) -> None:
    frame = said(message=[draft.body for draft in drafts], key=[draft.key for draft in drafts])
    assert isinstance(frame, Say)
    assert [(draft.body, draft.key) for draft in frame.drafts] == [(draft.body, draft.key) for draft in drafts]


def test_drafts_may_be_open() -> None:
    assert said(message="hello", key="k") == Say((Draft("hello", "k"),))
    assert said(message="hello", key="k", open="yes") == Say((Draft("hello", "k"),), is_open=True)
    # What comes with a cursor comes again, and not from a caret.
    assert said(message="hello", key="k", open="yes", cursor="") == Resume(None, (Draft("hello", "k"),))


@given(cursors, drafts)
def test_a_cursor_comes_through_with_the_drafts_beside_it(cursor: Cursor, drafts: list[Draft]) -> None:
    frame = said(cursor=str(cursor), message=[draft.body for draft in drafts], key=[draft.key for draft in drafts])
    assert isinstance(frame, Resume)
    assert frame.cursor == cursor
    assert [(draft.body, draft.key) for draft in frame.drafts] == [(draft.body, draft.key) for draft in drafts]


def test_one_draft_needs_no_list() -> None:
    assert said(message="hello", key="k1") == said(message=["hello"], key=["k1"]) == Say((Draft("hello", "k1"),))


def test_an_empty_cursor_asks_for_the_newest_page() -> None:
    assert said(cursor="") == Resume(None)


def test_a_blank_message_is_well_formed_and_for_others_to_refuse() -> None:
    assert said(message="", key="k1") == Say((Draft("", "k1"),))


# Half of a surrogate pair and infinity are not JSON: the reader refuses them.
well_formed = st.text(st.characters(exclude_categories=["Cs"]))
plain_json = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | well_formed
unknown_names = well_formed.filter(lambda name: name not in Fields.__annotations__)


@given(cursors, plain_json | st.lists(plain_json, max_size=4), unknown_names)
def test_fields_that_are_not_known_are_ignored(cursor: Cursor, value: Any, name: str) -> None:
    text = json.dumps({"cursor": str(cursor), name: value, "headers": {"HX-Request": "true", "cursor": "x"}})
    assert parse(text, len(text)) == Resume(cursor)
    text = json.dumps({"message": "hello", "key": "k1", name: value, "headers": value})
    assert parse(text, len(text)) == Say((Draft("hello", "k1"),))


# Malformed ones


@pytest.mark.breaks("app/chat/frames.py", "except (ValueError, RecursionError):", "except ValueError:")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "not-json"),
        ('{"a":' * 1_500, "not-json"),
        ("", "not-json"),
        ("{'message': 'hello'}", "not-json"),
        ('{"message": "hello"', "not-json"),
        ('{"message": "\\ud800", "key": "k1"}', "not-json"),
        ('{"cursor": "", "\\ud800": 1}', "not-json"),
        ("[" * 9_999, "wrong-type"),
        ("9" * 9_999, "wrong-type"),
        ('"hello"', "wrong-type"),
        ("[]", "wrong-type"),
        ("null", "wrong-type"),
        ("7", "wrong-type"),
        ("{}", "unknown"),
        ('{"type": "join"}', "unknown"),
        ('{"message": [], "key": []}', "unknown"),
        ('{"message": "hello"}', "bad-message"),
        ('{"key": "k1"}', "unknown"),
        ('{"message": null, "key": "k1"}', "wrong-type"),
        ('{"message": 7, "key": "k1"}', "wrong-type"),
        ('{"message": {"a": 1}, "key": "k1"}', "wrong-type"),
        ('{"message": ["a", 7], "key": ["k1", "k2"]}', "wrong-type"),
        ('{"message": ["a", ["b"]], "key": ["k1", "k2"]}', "wrong-type"),
        ('{"message": ["a", "b"], "key": ["k1", null]}', "wrong-type"),
        ('{"cursor": "e:1", "message": "a"}', "bad-message"),
        ('{"cursor": null}', "wrong-type"),
        ('{"cursor": 7}', "wrong-type"),
        ('{"cursor": ["e:1"]}', "wrong-type"),
        ('{"cursor": "e"}', "bad-cursor"),
    ],
)
def test_malformed_frames_have_distinct_reasons(text: str, reason: str) -> None:
    assert reason_of(parse(text, LARGEST)) == reason


@pytest.mark.parametrize(
    "key",
    ["", "two words", "line\nbreak", 'a"b', "a'b", "a\\b", "a<b", "a#2", "é", "k" * 129, "a\0b", "a\x1bb"],
    ids=ascii,
)
def test_a_key_that_could_not_stand_in_a_selector_is_malformed(key: str) -> None:
    assert reason_of(said(message="hello", key=key)) == "bad-message"


def test_the_longest_key_is_taken() -> None:
    assert said(message="hello", key="k" * 128) == Say((Draft("hello", "k" * 128),))


def test_only_the_first_of_too_many_drafts_are_read() -> None:
    frame = said(message=["a"] * (MOST_DRAFTS + 1), key=["k"] * (MOST_DRAFTS + 1))
    assert frame == Say((Draft("a", "k"),) * MOST_DRAFTS, left_out=1)


def test_the_largest_frame_is_read_and_one_character_more_is_not() -> None:
    text = '{"cursor": ""}'
    assert parse(text, len(text)) == Resume(None)
    frame = parse(text, len(text) - 1)
    assert isinstance(frame, Malformed)
    assert frame.reason == "frame-too-large"
    assert "13 characters" in frame.sentence


# Cursors


@given(cursors)
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor) -> None:
    assert parse_cursor(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":7",
        "epoch",
        "epoch:",
        "epoch:-1",
        "epoch:+1",
        "epoch: 1",
        "epoch:1 ",
        "epoch:1.0",
        "epoch:1e3",
        "epoch:1_000",
        "epoch:0x10",
        "epoch:²",
        "epoch:٣",
        "epoch:NaN",
        f"epoch:{LARGEST_POSITION + 1}",
        "epoch:" + "9" * 19,
        "epoch:" + "9" * 5_000,
        "epoch:" + "0" * 5_000,
    ],
)
def test_an_invalid_cursor_is_none(text: str) -> None:
    assert parse_cursor(text) is None


def test_the_largest_position_is_the_largest_that_a_database_holds() -> None:
    assert parse_cursor(f"e:{2**63 - 1}") == Cursor("e", 2**63 - 1)


# Drafts and keys


def test_the_nth_message_has_the_nth_key_and_keys_to_spare_are_ignored() -> None:
    assert said(message=["a", "b"], key=["k1", "k2", "k3"]) == Say((Draft("a", "k1"), Draft("b", "k2")))
    assert said(message="a", key=["k1", "k2"]) == Say((Draft("a", "k1"),))
    assert said(cursor="", key=["k1", "k2"]) == Resume(None)


def test_messages_beyond_the_keys_have_none() -> None:
    assert said(message=["a", "b"], key="k1") == Say((Draft("a", "k1"), Draft("b", "")))


# Typing


def test_a_frame_that_says_that_somebody_types_brings_the_draft_of_the_moment() -> None:
    assert said(typing="yes") == Typing(None)
    assert said(typing="yes", message="", key="k") == Typing("")
    assert said(typing="yes", message=["a", "b"]) == Typing("b")
    assert reason_of(said(typing=["yes"])) == "wrong-type"
