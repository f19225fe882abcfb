"""Valid names, equal names, look-alikes."""

import re
import string
import unicodedata
from itertools import combinations
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.chat import names
from app.chat.characters import is_blank, without_invisible
from app.chat.messages import Refused
from app.chat.names import LOOKALIKES, clean_name, is_reserved, name_key, skeleton, slug_of

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
def test_any_accepted_name_can_be_shown_and_stored(name: str) -> None:
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
def test_real_names_are_accepted(name: str) -> None:
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
def test_bidirectional_controls_are_refused(character: str) -> None:
    with pytest.raises(Refused, match="not allowed"):
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
def test_invisible_characters_do_not_make_another_name(invisible: str) -> None:
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


# Two names that look alike


def clash(one: str, other: str) -> bool:
    """Whether two members cannot have these names at once, as the store sees it."""
    return name_key(one) == name_key(other) or skeleton(one) == skeleton(other)


@pytest.mark.breaks("app/chat/names.py", ".translate(LOOKALIKES)", "")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bob", "B\N{CYRILLIC SMALL LETTER O}b"),
        ("Bob", "\N{CYRILLIC CAPITAL LETTER VE}ob"),
        ("Bob", "B0b"),
        ("BOB", "\N{GREEK CAPITAL LETTER BETA}\N{GREEK CAPITAL LETTER OMICRON}\N{GREEK CAPITAL LETTER BETA}"),
        ("Bob", "\N{CYRILLIC CAPITAL LETTER VE}\N{CYRILLIC CAPITAL LETTER O}\N{CYRILLIC CAPITAL LETTER VE}"),
        ("coco", "\N{CYRILLIC SMALL LETTER ES}\N{CYRILLIC SMALL LETTER O}" * 2),
        ("Anna", "\N{GREEK CAPITAL LETTER ALPHA}NNA"),
        ("David", "Da\N{GREEK SMALL LETTER NU}id"),
        ("Nina", "\N{GREEK CAPITAL LETTER NU}ina"),
        ("Alice", "AIice"),
        ("Alice", "A1ice"),
        ("Alice", "A|ice"),
        ("Laura", "Iaura"),
        ("Bill", "B\N{LATIN SMALL LETTER DOTLESS I}ll"),
        ("Bill", "Bi\u0307ll"),
        ("O'Brien", "O\N{RIGHT SINGLE QUOTATION MARK}Brien"),
        ("Jean-Luc", "Jean\N{HYPHEN}Luc"),
        ("Ann Lee", "Ann\u3000\N{LISU LETTER LA}ee"),
        ("Zo\u00eb", "Zo\N{CYRILLIC SMALL LETTER IO}"),
        ("\u03a1\u03a9", "\N{CYRILLIC CAPITAL LETTER ER}\N{OHM SIGN}"),
    ],
    ids=ascii,
)
def test_names_that_look_alike_clash(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)
    assert name_key(one) != name_key(other)  # only their looks give them away


@given(st.text(st.sampled_from("aeopcyxABEHKMOPCTX"), min_size=1, max_size=LONGEST))
def test_a_name_written_in_another_script_clashes(name: str) -> None:
    cyrillic = str.maketrans(
        "aeopcyxABEHKMOPCTX",
        "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0410\u0412\u0415\u041d\u041a\u041c\u041e\u0420\u0421\u0422\u0425",
    )
    assert skeleton(name.translate(cyrillic)) == skeleton(name)


# The most common of many languages, as in the statistics of births. Variants in spelling are there on purpose.
FIRST_NAMES = """
    James Mary Michael Patricia John Jennifer Robert Linda David Elizabeth William Barbara Richard Susan Joseph
    Jessica Thomas Karen Christopher Sarah Charles Lisa Daniel Nancy Matthew Sandra Anthony Ashley Mark Emily Steven
    Kimberly Donald Betty Andrew Margaret Joshua Donna Paul Michelle Kenneth Carol Kevin Amanda Brian Melissa Timothy
    Deborah Ronald Stephanie George Rebecca Jason Sharon Edward Laura Jeffrey Cynthia Ryan Dorothy Jacob Amy Nicholas
    Kathleen Gary Angela Eric Shirley Jonathan Emma Stephen Brenda Larry Pamela Justin Nicole Scott Anna Brandon
    Samantha Benjamin Katherine Samuel Christine Gregory Debra Alexander Rachel Patrick Olivia Frank Carolyn Raymond
    Maria Jack Janet Dennis Heather Jerry Diane Tyler Catherine Aaron Julie Jose Victoria Adam Helen Nathan Joyce Zoe
    Ian Iain Evan Ewan Owen Liam Noah Elijah Lucas Mason Logan Ethan Levi Mia Ella Isla Ava Eva Ivy Lily Lilly Lila
    Lola Leila Layla Eila Ellie Alice Alicia Elisa Eliza Elsa Ilse Lise Lea Leah Lia Mila Milla Emil Emile Amelie
    Jana Jan Jean Joan Jon Joel Noel Noelle Ali Alli Allie Alia Al Sam Sean Shaun Jim Tim Tom Ron Don Dan Den Ken Ben
    Marnie Mamie Erna Ema Arne Ame Arno Amo Bernie Nina Vina Vera Nera Rosa Tosa Ray Tay Yara Tara Zara Ruth Uma Una
    Jürgen Jörg Jorg Björn Bjorn Käthe Kathe Günther Gunther Gunter Günter Sönke Ute Uwe Wolfgang Heike Anke Antje
    François Francois Françoise Zoé Zoë Chloé Chloe René Rene Renée Renee Léa Léo Leo Théo Theo Inès Ines Hélène Helene
    Élodie Elodie Benoît Benoit José Josefa Iñigo Inigo Begoña Ángel Angel Lucía Lucia Andrés Andres Sofía Sofia Íñigo
    João Joao Conceição Inácio Nuno Vasco Gonçalo Giuseppe Giulia Giulio Luigi Luca Luka Chiara Niccolò Matteo Mattia
    Søren Soren Øyvind Oyvind Åse Ase Åsa Asa Ása Jens Jonas Jönas Håkan Hakan Linnéa Linnea Göran Goran Aino Eino
    Väinö Vaino Aada Ilmari Tuuli Łukasz Lukasz Zbigniew Małgorzata Agnieszka Wojciech Jiří Jiri Šárka Sarka Zdeněk
    Ondřej Žofie Zofie Zofia Đorđe Dorde Milan Milán Zoltán Zoltan Ödön Ágnes Agnes Ágota Ştefan Stefan Ștefan Ioana
    İlker Ilker Işıl Çağla Cagla Oğuz Oguz Gül Gul Đặng Dang Đăng Đạt Dat Hà Hạ Hả Hải Hai Linh Lan Lân Ngọc Thảo
    Anh Ánh Minh Huyền Tuấn Tuân Dung Dũng Dzung Иван Ольга Анна Мария Дмитрий Сергей Андрей Алексей Елена Наталья
    Татьяна Ирина Светлана Юлия Екатерина Александр Александра Михаил Николай Роман Степан Пётр Петр Софья София
    Нина Вова Вера Антон Артём Артем Оксана Тарас Рита Арсен Ася Ева Оля Юра Яна Аня Катя Макс Олег Ихор Ігор Їжак
    Γιώργος Δημήτρης Κώστας Μαρία Ελένη Κατερίνα Νίκος Γιάννης Βασίλης Άννα Σοφία Ζωή Ηλίας Θανάσης Υπατία Χρήστος
    יוסף מרים דוד שרה אברהם רחל יעקב לאה משה חנה נועם תמר محمد أحمد فاطمة علي عمر مريم يوسف خديجة حسن حسين زينب نور
    राहुल प्रिया अमित नीता सुनीता विजय अनिल सुनिल গৌতম மீனா కిరణ్ ราชา สมชาย สมหญิง ქეთევან გიორგი Արմեն Անի
    王伟 王芳 李娜 李静 張偉 张伟 刘洋 陈杰 杨磊 佐藤 鈴木 田中 太郎 大郎 花子 さくら サクラ はると ハルト
    민준 서연 지훈 수진 예은
"""  # noqa: RUF001
# A stroke is a capital I or a small l; cedilla and comma are one to most who write them.
ALIKE = {frozenset({"Ian", "Lan"}), frozenset({"Ştefan", "Ștefan"})}


def test_people_with_common_names_can_meet() -> None:
    names = FIRST_NAMES.split()
    pairs = {frozenset({one, other}) for one, other in combinations(names, 2) if clash(one, other)}
    assert pairs == ALIKE


@given(ANYTHING)
@example("i\u0307\u0307")
@example("\N{CHEROKEE SMALL LETTER TE}\u0345\u200d\u0301")
def test_the_skeleton_of_a_skeleton_is_that_skeleton(name: str) -> None:
    assert skeleton(skeleton(name)) == skeleton(name)


def test_every_character_that_looks_like_another_has_a_skeleton_that_stays() -> None:
    for character in map(chr, LOOKALIKES):
        for each in (character, character.upper(), character.lower()):
            assert skeleton(skeleton(each)) == skeleton(each)


@given(ANYTHING)
def test_a_skeleton_ignores_composition_and_invisible_characters(name: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert skeleton(unicodedata.normalize(form, name)) == skeleton(name)
    assert skeleton(without_invisible(name)) == skeleton(name)


@given(ANYTHING)
def test_every_name_that_is_taken_has_a_skeleton(name: str) -> None:
    text = cleaned(name)
    assert text is None or skeleton(text)


@given(st.text(st.sampled_from(string.ascii_letters), max_size=LONGEST))
def test_plain_letters_are_themselves_but_for_the_capital_i(name: str) -> None:
    assert skeleton(name) == name.replace("I", "l").lower()


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


# What is said by nobody


@pytest.mark.parametrize(
    "name",
    [
        "System",
        "SYSTEM",
        "moderator",
        "Parlor",
        "Admin",
        "\N{CYRILLIC CAPITAL LETTER A}DMIN",
        "\N{FULLWIDTH LATIN SMALL LETTER A}dmin",
        "b\N{GREEK SMALL LETTER OMICRON}t",
        "- Server -",
        "\N{PARTY POPPER} everyone",
        "R o o m",
        "here.",
    ],
)
def test_names_that_speak_for_the_chat_are_reserved_however_they_are_written(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["Ann", "Boot", "Adam", "Hera", "Rooney", "\N{PARTY POPPER}", "Parlor fan"])
def test_other_names_are_not_reserved(name: str) -> None:
    assert not is_reserved(name)


def test_the_title_of_the_chat_is_reserved_too() -> None:
    assert is_reserved("TEA house", "Tea House") and not is_reserved("Tea", "Tea House")
    assert not is_reserved("\N{PARTY POPPER}", "\N{SPARKLES}")


# Of any length

WORST = [
    "\u0301",
    "\u0316\u0301",
    " ",
    "\u00a0",
    "a\u0301",
    "\ufdfa",
    "\u1100\u1161\u11a8",
    "\ud800",
    "\u200d",
    "I\u0307",
]


@pytest.mark.breaks("app/chat/names.py", "if len(name) > longest * (1 + MOST_MARKS):", "if False:")
@pytest.mark.parametrize("part", WORST, ids=ascii)
def test_no_more_of_a_name_is_looked_at_than_a_name_can_take(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [0]

    class Watched:
        """Unicode's data, that notes how much it is asked about at once, and in all."""

        @staticmethod
        def normalize(form: Literal["NFC", "NFKC", "NFKD"], text: str) -> str:
            seen.append(len(text))
            return unicodedata.normalize(form, text)

        @staticmethod
        def category(character: str) -> str:
            seen.append(1)
            return unicodedata.category(character)

    monkeypatch.setattr(names, "unicodedata", Watched)
    for count in (1, LONGEST, 5 * LONGEST, 5 * LONGEST + 1, 1_000, 60_000):
        del seen[1:]
        try:
            name = clean_name("a" + part * count, LONGEST)
        except Refused:
            pass
        else:
            name_key(name), skeleton(name), is_reserved(name), slug_of(name)
        assert max(seen) <= 20 * LONGEST and sum(seen) <= 400 * LONGEST


@pytest.mark.parametrize("longest", [1, 40, 100])
def test_every_name_of_the_longest_kind_is_still_taken_before_it_is_composed(longest: int) -> None:
    assert clean_name("\N{LATIN SMALL LETTER U}\u031b\u0323" * longest, longest) == "\u1ef1" * longest
    assert clean_name(unicodedata.normalize("NFD", "각") * longest, longest) == "각" * longest
