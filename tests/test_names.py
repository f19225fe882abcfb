"""What a name may be, and when two names are the same."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.characters import is_blank
from app.messages import Refused
from app.names import clean_name, name_key, slug_of

LONGEST = 40
SLUG_COLUMN = 80
BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ANYTHING = st.text(
    st.sampled_from("aAé\uff21ß \t\u0301\u200b\u200d\u202e\u3164\ufe0f\ud800") | st.characters(exclude_categories=())
)


def cleaned(name: str) -> str | None:
    try:
        return clean_name(name, LONGEST)
    except Refused as refusal:
        assert refusal.reason in ("name-blank", "name-too-long", "name-characters")
        return None


# A name


@given(ANYTHING)
@example("a\u0301" * LONGEST)
def test_a_name_that_is_taken_can_be_shown_and_stored_whatever_came(name: str) -> None:
    text = cleaned(name)
    if text is None:
        return
    assert 0 < len(text) <= LONGEST
    assert not is_blank(text)
    assert text == " ".join(text.split())
    assert unicodedata.is_normalized("NFC", text)
    assert not set(BIDI_CONTROLS) & set(text)
    assert not {unicodedata.category(character) for character in text} & {"Cc", "Cs", "Co", "Zl", "Zp"}
    assert text.encode("utf-8").decode("utf-8") == text
    assert clean_name(text, LONGEST) == text


@pytest.mark.parametrize(
    "name",
    [
        "Ann",
        "O'Brien-Smith",
        "José",
        "Đặng Thị Hà",
        "Ольга",
        "王小明",
        "מִרְיָם",
        "علي",
        "नीता",
        "R2-D2",
        "👩‍👩‍👧",
        "Ann ❤️",
    ],
)
def test_people_may_be_called_what_they_are_called(name: str) -> None:
    assert clean_name(name, LONGEST) == unicodedata.normalize("NFC", name)


def test_spaces_around_and_within_a_name_are_made_single() -> None:
    assert clean_name("  Ann \t\n  Lee\u00a0", LONGEST) == "Ann Lee"


def test_a_name_is_composed() -> None:
    assert clean_name("Jose\u0301", 4) == "José"


@pytest.mark.parametrize(
    "name", ["", "   ", "\n", "\u3000", "\u200b", "\u200d", "\u3164", "\u2800", "\ufe0f", "\u115f"]
)
def test_a_name_that_nobody_could_see_is_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        clean_name(name, LONGEST)
    assert refused.value.reason == "name-blank"


def test_the_longest_name_is_taken_and_one_character_more_is_not() -> None:
    assert clean_name("x" * LONGEST, LONGEST) == "x" * LONGEST
    with pytest.raises(Refused) as refused:
        clean_name("x" * (LONGEST + 1), LONGEST)
    assert refused.value.reason == "name-too-long"
    assert f"{LONGEST} characters" in refused.value.sentence


@pytest.mark.parametrize("character", BIDI_CONTROLS, ids=unicodedata.name)
def test_what_turns_the_text_after_it_around_is_refused(character: str) -> None:
    with pytest.raises(Refused, match="cannot be shown"):
        clean_name(f"Ann{character}nnA", LONGEST)


@pytest.mark.parametrize(
    "name",
    [
        "Ann\0",
        "A\x1b[31mnn",
        "A\x7fnn",
        "A\u200bnn",
        "A\u2060nn",
        "A\ufeffnn",
        "A\u00adnn",
        "A\ue000nn",
        "A\U000e0041nn",
        "Z\u0351\u036b\u0343\u036a\u0302algo",
        "e" + "\u0301" * 6,
    ],
    ids=ascii,
)
def test_controls_invisible_characters_and_towers_of_accents_are_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        clean_name(name, LONGEST)
    assert refused.value.reason == "name-characters"


# Two names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann", "ANN"),
        ("Ann", "\uff21\uff4e\uff4e"),
        ("Ann", "\U0001d400\U0001d427\U0001d427"),
        ("Straße", "STRASSE"),
        ("José", "JOSE\u0301"),
        ("Ann Lee", "ann\u2003lee"),
        ("ﬁn", "FIN"),
        ("Ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ"),
    ],
)
def test_case_and_width_do_not_make_another_name(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(
    "invisible", ["\u200b", "\u200d", "\u00ad", "\ufe0f", "\ufe0e", "\u034f", "\u3164", "\u115f"], ids=ascii
)
def test_what_cannot_be_seen_does_not_make_another_name(invisible: str) -> None:
    for name in (f"Ann{invisible}", f"A{invisible}nn", f"{invisible}Ann"):
        assert cleaned(name) is None or name_key(name) == name_key("Ann")


def test_a_joiner_before_an_accent_does_not_make_another_name() -> None:
    assert name_key("a\u200d\u0301nn") == name_key("\u00e1nn")


def test_different_names_stay_different() -> None:
    names = ["Ann", "Anna", "Bob", "Ann Lee", "Annlee", "Jose", "José", "1", "王", "玉"]
    assert len({name_key(name) for name in names}) == len(names)


@given(ANYTHING)
@example("a\u200d\u0301")
@example("\u0345\u200b\u0301")
def test_the_key_of_a_key_is_that_key(name: str) -> None:
    assert name_key(name_key(name)) == name_key(name)


@given(ANYTHING)
def test_a_name_is_the_same_in_capitals_and_in_any_composition(name: str) -> None:
    key = name_key(name)
    assert name_key(name.casefold()) == key
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert name_key(unicodedata.normalize(form, name)) == key


@given(ANYTHING)
def test_every_name_that_is_taken_has_a_key(name: str) -> None:
    text = cleaned(name)
    assert text is None or name_key(text)


# Addresses of rooms


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Watercooler", "watercooler"),
        ("The Water  Cooler!", "the-water-cooler"),
        ("Café Olé", "cafe-ole"),
        ("北京", "bei-jing"),
        ("C++ / Rust", "c-rust"),
        ("../../etc", "etc"),
        ("🎉", "room"),
        ("---", "room"),
    ],
)
def test_an_address_is_readable(name: str, slug: str) -> None:
    assert slug_of(name) == slug


def test_equal_names_get_addresses_of_their_own() -> None:
    assert slug_of("Tea", frozenset({"tea"})) == "tea-2"
    assert slug_of("TEA", frozenset({"tea", "tea-2", "tea-4"})) == "tea-3"


@given(ANYTHING, st.integers(0, 12))
@example("x" * 100, 12)
@example("ab " * 60, 3)
@example("龘" * 100, 3)
def test_an_address_is_plain_and_one_of_a_kind_for_any_name(name: str, others: int) -> None:
    taken: set[str] = set()
    for _ in range(others + 1):
        slug = slug_of(name, frozenset(taken))
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
        assert len(slug) <= SLUG_COLUMN
        assert slug not in taken
        taken.add(slug)
