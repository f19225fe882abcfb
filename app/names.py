"""What a name may be, of a member or a room, and when two names are the same.

Plain functions of strings.
"""

import unicodedata

from slugify import slugify

from app.messages import Refused, is_blank

# Bidirectional embeddings, overrides and isolates: they would turn around the text that follows the name.
# https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
ZERO_WIDTH_JOINER = "\u200d"  # holds family emoji together, and is needed to write some languages
MOST_MARKS = 4  # combining marks on one letter; the neediest script in use, Vietnamese or Hebrew, takes three


def clean_name(name: str, longest: int) -> str:
    """Return `name` in its composed form with single spaces, or raise `Refused`.

    Reasons: "name-blank", "name-too-long", "name-characters". `longest` counts characters.
    """
    text = " ".join(unicodedata.normalize("NFC", _without_surrogates(name)).split())
    if is_blank(text):
        raise Refused("name-blank", "Please enter a name.")
    if len(text) > longest:
        raise Refused("name-too-long", f"That name is too long: {longest} characters are the limit.")
    if not _is_plain(text):
        raise Refused("name-characters", "That name has characters that cannot be shown in a name.")
    return text


def name_key(name: str) -> str:
    """Return what two names have in common when people would take one for the other: width and case aside.

    NFKC and case folding, as UAX #31 advises for identifiers; invisible characters do not count.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(c for c in folded if unicodedata.category(c) != "Cf").split())


def slug_of(name: str, taken: frozenset[str] = frozenset()) -> str:
    """Return a readable address for a room called `name`: lower-case ASCII, not one of those `taken`."""
    stem = slugify(name, max_length=60, word_boundary=True) or "room"
    slug, number = stem, 1
    while slug in taken:
        number += 1
        slug = f"{stem}-{number}"
    return slug


def _without_surrogates(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")


def _is_plain(text: str) -> bool:
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if character in BIDI_CONTROLS or category in ("Cc", "Cn", "Co", "Zl", "Zp") or marks > MOST_MARKS:
            return False
        if category == "Cf" and character != ZERO_WIDTH_JOINER:
            return False
    return True
