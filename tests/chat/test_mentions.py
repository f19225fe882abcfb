"""Whom an `@` in a text means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.mentions import MOST_MENTIONS, Meant, Unclear, beginning, find, in_order, resolve, split
from app.chat.messages import EVERYBODY, Member, Mention

NAMES = ("Ann", "Anna Lee", "Anna Smith", "Zoë", "用户", "Roger", "O'Neil", "Dr. No")
MEMBERS = [Member(f"id{number}", name, "UTC") for number, name in enumerate(NAMES)]
EVERYONE = Mention(EVERYBODY, EVERYBODY, "room")


def meant(body: str) -> list[Meant]:
    return resolve(find(body), MEMBERS)


def mention(name: str, written: str | None = None) -> Mention:
    return Mention(f"id{NAMES.index(name)}", name, written or name)


@pytest.mark.breaks("app/chat/mentions.py", "if begun:", "if False:")
@pytest.mark.breaks("app/chat/mentions.py", "if len(begun) == 1:", "if begun:")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("hello @Ann", [mention("Ann")]),
        ("@ann, come", [mention("Ann", "ann")]),
        ("@ANN's cat", [mention("Ann", "ANN")]),
        ("@Anna Lee is here", [mention("Anna Lee")]),
        ("@anna  lee", [mention("Anna Lee", "anna  lee")]),
        ("@Anna L", [mention("Anna Lee", "Anna L")]),
        ("@Anna", [Unclear("Anna", ("Anna Lee", "Anna Smith"))]),
        ("@An", [Unclear("An", ("Ann", "Anna Lee", "Anna Smith"))]),
        ("@z and @Ann", [mention("Zoë", "z"), mention("Ann")]),
        ("@Zoe\u0308", [mention("Zoë", "Zoe\u0308")]),
        ("@用户你好", [mention("用户")]),
        ("@用", [mention("用户", "用")]),
        ("@O'Neil", [mention("O'Neil")]),
        ("@Dr. No!", [mention("Dr. No")]),
        ("@Bob", [Unclear("Bob", ())]),
        ("(@Ann)", [mention("Ann")]),
        ("**@Ann**", [mention("Ann")]),
        ("@room, lunch", [EVERYONE]),
        ("@Ro", [mention("Roger", "Ro")]),
        ("@roomy", [Unclear("roomy", ())]),
        ("one\n@Ann\ntwo", [mention("Ann")]),
    ],
)
def test_a_name_or_its_only_beginning_is_meant(body: str, expected: list[Meant]) -> None:
    assert meant(body) == expected


@pytest.mark.breaks("app/chat/mentions.py", r'MARK = re.compile(r"(?<!\w)@(?=\S)")', 'MARK = re.compile("@")')
@pytest.mark.breaks("app/chat/mentions.py", "isinstance(piece, Part) and not piece.href", "isinstance(piece, Part)")
@pytest.mark.parametrize(
    "body",
    ["ann@example.org", "a @ b", "@", "`@Ann`", "```\n@Ann\n```", "https://example.org/@Ann", "@\u200bAnn"],
)
def test_addresses_and_code_mention_nobody(body: str) -> None:
    assert meant(body) == []


@pytest.mark.breaks("app/chat/mentions.py", "islice(found, MOST_MENTIONS)", "found")
def test_no_more_than_some_are_looked_at() -> None:
    assert len(find("".join(f"@{number} " for number in range(1000)))) == MOST_MENTIONS
    assert all(len(rest) <= 120 for rest in find("@" + "x" * 4000))


@given(st.text(alphabet="@ aAnN用户'.\n", max_size=60))
def test_a_text_is_its_pieces_and_each_name_begins_as_was_asked(body: str) -> None:
    rests = find(body)
    mentions = in_order(resolve(rests, MEMBERS))
    pieces = list(split(body, mentions))
    assert "".join(piece if isinstance(piece, str) else f"@{piece.written}" for piece in pieces) == body
    for found in resolve(rests, MEMBERS):
        # Who is asked for by the beginning is enough: no other could be meant.
        asked = [member for member in MEMBERS if member.name.casefold().startswith(tuple(map(beginning, rests)))]
        assert found in resolve(rests, asked)


@pytest.mark.breaks("app/chat/mentions.py", "in by_written and _may_end(text, end)", "in by_written")
@pytest.mark.breaks(
    "app/chat/mentions.py",
    "sorted({len(written) for written in by_written}, reverse=True)",
    "sorted({len(written) for written in by_written})",
)
def test_the_longest_name_is_found_again_in_the_text() -> None:
    mentions = (Mention("id0", "Anna", "Anna"), mention("Anna Lee"))
    assert list(split("@Anna @Anna Lee @Annabel", mentions)) == ["", mentions[0], " ", mentions[1], " @Annabel"]


def test_mentions_are_in_one_order_and_there_once() -> None:
    assert in_order(meant("@Zoë @Ann @Ann @Bob")) == (mention("Ann"), mention("Zoë"))
