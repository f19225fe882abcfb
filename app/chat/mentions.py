"""Mentions: `@` and the name of a member, or its beginning if only one name begins so.

Plain functions of texts and members. Mentions are resolved once, when a text is stored; `split` finds them again.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from app.chat.links import Part
from app.chat.markup import parse
from app.chat.messages import EVERYBODY, Member, Mention
from app.chat.names import name_key

MARK = re.compile(r"(?<!\w)@(?=\S)")  # in `ann@example.org` it is none
MOST_MENTIONS = 20  # looked at in one text
LONGEST = 120  # characters of a name in a text; the longest name has 100 of them
MOST_ENDS = 40  # of it that are looked at: each is compared
WIDE = ("W", "F")  # ideographs and syllables are written without spaces between words

key_of = lru_cache(maxsize=10_000)(name_key)


@dataclass(frozen=True, slots=True)
class Unclear:
    """What is `written` after an `@` begins each of these `names`, or that of nobody."""

    written: str
    names: tuple[str, ...]


Meant = Mention | Unclear


def find(body: str) -> list[str]:
    """Return what follows each `@` of a text, as far as a name can go. What is in code or an address does not count."""
    if "@" not in body:
        return []
    texts = (piece.text for piece in parse(body) if isinstance(piece, Part) and not piece.href)
    found = (text[mark.end() :][:LONGEST] for text in texts for mark in MARK.finditer(text))
    rests = dict.fromkeys(rest.partition("\n")[0] for rest in islice(found, MOST_MENTIONS))
    return [rest for rest in rests if beginning(rest)]  # what is invisible begins every name


def beginning(rest: str) -> str:
    """Return the key with which the key of each name begins that `rest` can mean."""
    return key_of(rest[: min(_ends(rest))])


def resolve(rests: Iterable[str], members: Iterable[Member]) -> list[Meant]:
    """Return whom each text after an `@` means among `members`: the longest name, or the only one that begins so."""
    by_key = {key_of(member.name): member for member in members}
    return [_resolve(rest, by_key) for rest in rests]


def _resolve(rest: str, by_key: dict[str, Member]) -> Meant:
    written = [rest[:end] for end in _ends(rest)]
    for text in written:
        if member := by_key.get(key_of(text)):
            return Mention(member.id, member.name, text)
        if key_of(text) == EVERYBODY:
            return Mention(EVERYBODY, EVERYBODY, text)
    for text in written:
        begun = [member for key, member in by_key.items() if key.startswith(key_of(text))]
        if len(begun) == 1:
            return Mention(begun[0].id, begun[0].name, text)
        if begun:
            return Unclear(text, tuple(sorted(member.name for member in begun)))
    return Unclear(written[-1], ())


def in_order(meant: Iterable[Meant]) -> tuple[Mention, ...]:
    """Return the mentions, each once and in one order, as a message has them."""
    return tuple(sorted({each for each in meant if isinstance(each, Mention)}, key=lambda each: each.written))


def split(text: str, mentions: Sequence[Mention]) -> Iterator[str | Mention]:
    """Yield `text` in pieces: the mentions in it, and what is between them."""
    by_written = {mention.written: mention for mention in mentions}
    lengths = sorted({len(written) for written in by_written}, reverse=True)
    start = 0
    for mark in MARK.finditer(text):
        ends = (mark.end() + length for length in lengths)
        end = next((end for end in ends if text[mark.end() : end] in by_written and _may_end(text, end)), 0)
        if end and mark.start() >= start:
            yield text[start : mark.start()]
            yield by_written[text[mark.end() : end]]
            start = end
    yield text[start:]


def _ends(rest: str) -> list[int]:
    """Return where a name at the start of `rest` can end, the farthest first. There is one at least."""
    ends: list[int] = []
    for end in range(1, len(rest) + 1):
        if not rest[end - 1].isspace() and _may_end(rest, end):
            ends.append(end)
            if len(ends) == MOST_ENDS:
                break
    return ends[::-1]


def _may_end(text: str, end: int) -> bool:
    """Whether a word can end there: not between two letters, but for those that need no space between words."""
    return end >= len(text) or not (_is_letter(text[end - 1]) and _is_letter(text[end]))


def _is_letter(character: str) -> bool:
    is_one = character.isalnum() or unicodedata.category(character).startswith("M")
    return is_one and unicodedata.east_asian_width(character) not in WIDE
