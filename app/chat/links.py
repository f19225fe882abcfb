"""Finds web and e-mail addresses in a text.

One pass, linear in the length of the text. It knows no HTML.

Only certain addresses become links: "http://", "https://", "www." and e-mail. A bare "main.py" or "README.md" would be
a web address too (.py and .md are countries), and people rarely mean it.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple

from app.chat.characters import INVISIBLE_CLASS
from app.chat.names import skeleton

BEGINNING = re.compile(r"https?://|(?<![a-z0-9@./_-])www\.|(?<=[a-z0-9_%+-])@(?=[\w-]{1,63}\.)", re.IGNORECASE)
MOST_TRIED = 200  # links tried in one text: each is sent to every reader, at several times its size
# Characters that end an address. A path may contain letters of any script: https://www.rfc-editor.org/rfc/rfc3987.
STOP = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff<>\"`\\|"
    "\u00ab\u00bb\u2039\u203a\u201c-\u201f\u300e-\u301f\u3000-\u3004\u3008-\u300d\u3030\u303d"  # quotes, brackets
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufe10-\ufe19\ufe30-\ufe6f"  # full width
    f"{INVISIBLE_CLASS}]"
)
ANOTHER = re.compile(r"[,;]https?://", re.IGNORECASE)
LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*(?![\w-])")
IPV6 = re.compile(r"\[([0-9a-f:.]{2,45})\]", re.IGNORECASE)
PORT = re.compile(r":\d{1,5}(?!\d)")
AUTHORITY_END = re.compile(r"[/?#]")
DOMAIN = re.compile(rf"(?:{LABEL}\.)+[^\W\d_]{{2,63}}(?![\w@-])")
LOCAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-")
LONGEST_AUTHORITY = 253 + len(":65535")
LONGEST_LOCAL = 64
# Punctuation that ends a sentence or a quotation, and is not part of an address before it.
TRAILING = frozenset(
    ".,!?:;'*_~\u2026\u2018\u2019\u201a\u201b\u00b7\u0964\u0965\u06d4\u061f\u061b\u060c\u055d\u1362\u104b"
)
# Scripts in which a name may look like one in Latin letters, where both are mixed.
LIKE_LATIN = frozenset({"CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE"})
BRACKETS = {")": "(", "]": "[", "}": "{"}


class Part(NamedTuple):
    """A stretch of text. An address has an `href`, and `shown` if that differs from the text."""

    text: str
    href: str | None = None
    shown: str | None = None


DECEIVES = (0, Part(""))


def split(text: str) -> tuple[Part, ...]:
    """Return `text` in parts, in order: joined, their texts are `text` again."""
    if BEGINNING.search(text):
        return _found(text)
    return (Part(text),) if text else ()


@lru_cache(maxsize=1024)  # the same message is rendered for each time zone, and looking takes longer than all the rest
def _found(text: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    end = 0
    for start, address in _addresses(text):
        if start > end:
            parts.append(Part(text[end:start]))
        parts.append(address)
        end = start + len(address.text)
    if end < len(text):
        parts.append(Part(text[end:]))
    return tuple(parts)


def forget() -> None:
    """Forget the texts that were looked at: one of them was deleted."""
    _found.cache_clear()


def _addresses(text: str) -> Iterator[tuple[int, Part]]:
    """Yield the start of each address, and the address."""
    position = run_end = 0
    for _ in range(MOST_TRIED):
        beginning = BEGINNING.search(text, position)
        if beginning is None:
            break
        start = beginning.start()
        if start >= run_end:  # looked for once in a stretch, however many beginnings there are in it
            stop = STOP.search(text, start)
            run_end = stop.start() if stop else len(text)
        is_email = beginning[0] == "@"
        found = _email(text, start, position) if is_email else _web(text, start, beginning.end(), run_end)
        if found is None:
            position = beginning.end()
        elif found == DECEIVES:
            position = run_end
        else:
            begins, address = found
            position = begins + len(address.text)
            yield found


def _web(text: str, start: int, authority: int, run_end: int) -> tuple[int, Part] | None:
    """Return the web address that begins at `start`, its host at `authority` (or at "www."), and where it begins.

    `DECEIVES` where it has a user part; None if there is no host.
    """
    has_scheme = text[authority - 1] == "/"
    if not has_scheme:
        authority = start
    limit = min(run_end, authority + LONGEST_AUTHORITY + 1)
    ends = AUTHORITY_END.search(text, authority, limit)
    if not {"@", "%"}.isdisjoint(text[authority : ends.start() if ends else limit]):
        return DECEIVES  # https://a.com@b.com leads to b.com
    host_end = _host_end(text, authority, limit)
    if host_end is None or text.startswith("://", host_end):
        return None
    if not has_scheme and text.count(".", authority, host_end) < 2:
        return None
    port = PORT.match(text, host_end, limit)
    end = port.end() if port else host_end
    if end < run_end and text[end] in "/?#":
        another = ANOTHER.search(text, end, run_end)
        end = _trimmed(text, end, another.start() if another else run_end)
    address = text[start:end]
    host, shown_host = text[authority:host_end], shown_name(text[authority:host_end])
    shown = None if host == shown_host else text[start:authority] + shown_host + text[host_end:end]
    return start, Part(address, address if has_scheme else f"https://{address}", shown)


def _host_end(text: str, start: int, limit: int) -> int | None:
    """Return where the host ends that begins at `start`; None if there is none."""
    if literal := IPV6.match(text, start, limit):
        try:
            IPv6Address(literal[1])
        except ValueError:
            return None
        return literal.end()
    name = NAME.match(text, start, limit)
    return name.end() if name else None


def _trimmed(text: str, start: int, end: int) -> int:
    """Return where an address ends whose path begins at `start`, without what ends a sentence around it."""
    path = text[start:end]
    opened = {bracket: path.count(opening) - path.count(bracket) for bracket, opening in BRACKETS.items()}
    while end > start:
        last = text[end - 1]
        if last in opened and opened[last] < 0:
            opened[last] += 1
        elif last not in TRAILING and last not in "([{":
            break
        end -= 1
    return end


def _email(text: str, at: int, after: int) -> tuple[int, Part] | None:
    """Return the e-mail address around the sign `at`; it begins not before `after`."""
    domain = DOMAIN.match(text, at + 1, at + 1 + LONGEST_AUTHORITY)
    start = at
    while start > max(after, at - LONGEST_LOCAL) and text[start - 1] in LOCAL:
        start -= 1
    while start < at and text[start] in ".%+-":
        start += 1
    if domain is None or start == at or text[at - 1] == "." or text.endswith("@", 0, start):
        return None
    address = text[start : domain.end()]
    host = domain[0]
    shown_host = shown_name(host)
    shown = None if host == shown_host else text[start : at + 1] + shown_host
    return start, Part(address, f"mailto:{address}", shown)


def shown_name(host: str) -> str:
    """Return a host's name as browsers show it: what looks like another one in Latin letters, in Punycode.

    As in https://chromium.googlesource.com/chromium/src/+/main/docs/idn.md, in short: a label of another script whose
    letters all look like Latin ones, or that mixes them with Latin ones.
    """
    if host.isascii():
        return host
    return ".".join(
        "xn--" + label.lower().encode("punycode").decode() if _looks_latin(label.lower()) else label
        for label in host.split(".")
    )


def _looks_latin(label: str) -> bool:
    letters = [character for character in label if not character.isascii()]
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in letters} - {"LATIN"}
    if not scripts:
        return False
    return skeleton(label).isascii() or bool(scripts & LIKE_LATIN and any("a" <= letter <= "z" for letter in label))
