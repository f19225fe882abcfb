"""What a name may be, of a member or a room, and when two names are the same.

Plain functions of strings.
"""

import unicodedata

from slugify import slugify

from app.characters import INVISIBLE, is_blank, without_invisible
from app.messages import Refused

# They hold emoji together, and some languages need the joiner. The bidirectional controls are not among them:
# they would turn around the text that follows the name. https://www.unicode.org/reports/tr9/
ALLOWED_INVISIBLE = "\u200d\ufe0f"
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

    NFKC and case folding, as UAX #31 advises for identifiers; what is invisible does not count.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", without_invisible(folded)).casefold().split())


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
        if category in ("Cc", "Co", "Zl", "Zp") or marks > MOST_MARKS:
            return False
        if character not in ALLOWED_INVISIBLE and (category == "Cf" or INVISIBLE.match(character)):
            return False
    return True
