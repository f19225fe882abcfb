"""Search: the words of a text, what a query asks for, and which results come first.

Plain functions of texts. Both engines index what `words` returns and nothing else, so they find the same. Text without
spaces between its words (Chinese, Japanese, Thai, Lao, Burmese, Khmer) is one word for each character, and is found
as a phrase.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from math import log

from app.chat.characters import without_invisible
from app.chat.messages import REPLACEMENT, UNPRINTABLE, Refused

LONGEST_QUERY = 200  # characters
LONGEST_WORD = 64  # characters; what comes after them is not indexed
MOST_TERMS = 10  # of a query
YEARS = range(1970, 3000)  # in which a message can have been said
SHOWN = 240  # characters of a message among the results
LEAD = 60  # of them before the first hit

SINGLE = (  # within the brackets of a pattern
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
EMOJI = "\u2190-\u21ff\u2300-\u245f\u2500-\u27bf\u2900-\u297f\u2b00-\u2bff\U0001f000-\U0001f3fa\U0001f400-\U0001faff"
MARKS = "".join(
    character for character in map(chr, range(0x300, 0xFFFF)) if unicodedata.category(character).startswith("M")
)
RUN = re.compile(f"[{SINGLE}{EMOJI}]|(?:(?![{SINGLE}])[^\\W_]|[{MARKS}])+")
ASCII_RUN = re.compile("[A-Za-z0-9]+")
# Combining classes of marks without which a word would be another; all others are accents and vowel points.
# https://www.unicode.org/reports/tr44/#Canonical_Combining_Class_Values
JOINING = (0, 7, 8, 9)
LATIN = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
)
FIELDS = "from|in|mentions|before|after"
PART = re.compile(rf'(?:(?P<field>{FIELDS}):)?(?:"(?P<quoted>[^"]*)"?|(?P<bare>\S+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is indexed, and where it stands in its text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Term:
    """Words that follow each other; the last one may be the beginning of a word."""

    words: tuple[str, ...]
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for: all of the `terms`, by an author, in a room, who is mentioned, before and after a day."""

    terms: tuple[Term, ...] = ()
    author: str = ""
    room: str = ""
    mentioned: str = ""
    before: date | None = None
    after: date | None = None

    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return self == Query()


def spans(text: str) -> Iterator[Word]:
    """Yield the words of a text: without case, accents and signs."""
    for run in (ASCII_RUN if text.isascii() else RUN).finditer(text):
        for word in _fold(run[0]):
            yield Word(word, run.start(), run.end())


def words(text: str) -> list[str]:
    """Return the words of a text."""
    if text.isascii():  # as most are: a seventh of the time
        return [word[:LONGEST_WORD] for word in ASCII_RUN.findall(text.lower())]
    return [word.text for word in spans(text)]


@lru_cache(maxsize=10_000)
def _fold(run: str) -> tuple[str, ...]:
    """Return the words in a run of letters: one, but for signs that stand for several."""
    if run.isascii():
        return (run.lower()[:LONGEST_WORD],)
    decomposed = unicodedata.normalize("NFKD", without_invisible(run)).casefold()
    bare = "".join(character for character in decomposed if unicodedata.combining(character) in JOINING)
    folded = unicodedata.normalize("NFC", bare).translate(LATIN)
    return tuple(found[:LONGEST_WORD] for found in RUN.findall(folded))


def parse_query(text: str) -> Query:
    """Return what a query asks for. Raises `Refused` ("bad-date")."""
    fields: dict[str, str] = {}
    terms: list[Term] = []
    text = UNPRINTABLE.sub(REPLACEMENT, text[:LONGEST_QUERY])
    for part in PART.finditer(text):
        field, value = (part["field"] or "").lower(), part["bare"] if part["quoted"] is None else part["quoted"]
        if field:
            fields[field] = value
        elif found := tuple(words(value)):
            is_last = part["bare"] is not None and part.end() == len(text.rstrip())
            # A single character begins too many words.
            terms.append(Term(found, is_prefix=is_last and len(found[-1]) > 1))
    return Query(
        tuple(terms[:MOST_TERMS]),
        fields.get("from", ""),
        fields.get("in", ""),
        fields.get("mentions", ""),
        _date(fields.get("before")),
        _date(fields.get("after")),
    )


def _date(text: str | None) -> date | None:
    if not text:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = date.min
    if found.year not in YEARS:
        raise Refused("bad-date", "Write a date as year, month and day: 2026-11-29.")
    return found


# Results


def hits(text: str, terms: Sequence[Term]) -> list[tuple[int, int]]:
    """Return where `terms` stand in a text, in order, none within another."""
    found = list(spans(text))
    places = sorted(place for term in terms for place in _places(found, term))
    apart: list[tuple[int, int]] = []
    for start, end in places:
        if not apart or start >= apart[-1][1]:
            apart.append((start, end))
    return apart


def _places(found: Sequence[Word], term: Term) -> Iterator[tuple[int, int]]:
    *whole, last = term.words
    length = len(term.words)
    for number in range(len(found) - length + 1):
        *before, word = found[number : number + length]
        is_last = word.text.startswith(last) if term.is_prefix else word.text == last
        if is_last and [each.text for each in before] == whole:
            yield found[number].start, word.end


def excerpt(text: str, terms: Sequence[Term]) -> list[tuple[str, bool]]:
    """Return the part of a text around the first hit, in pieces: each with whether it is a hit."""
    places = hits(text, terms)
    first = places[0][0] if places else 0
    start = max(0, first - LEAD) if first + LEAD > SHOWN else 0
    end = min(len(text), start + SHOWN)
    pieces = [("…", False)] if start else []
    at = start
    for place, until in places:
        if place >= start and until <= end:
            pieces += [(text[at:place], False), (text[place:until], True)]
            at = until
    pieces += [(text[at:end], False), ("…" if end < len(text) else "", False)]
    return [piece for piece in pieces if piece[0]]


def score(text: str, terms: Sequence[Term]) -> float:
    """Return how well a text answers: how often, how exactly, and how much else there is in it."""
    found = list(spans(text))
    total = 0.0
    for term in terms:
        exact = Term(term.words)
        times = sum(1 for _ in _places(found, term))
        total += (1 + log(times) if times else 0) + (0.5 if term.is_prefix and any(_places(found, exact)) else 0)
    return total / log(len(found) + 20)
