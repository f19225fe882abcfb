"""What a name of a member or a room may be, when two are the same, and when they look alike.

Plain functions of strings. Unicode's table of look-alikes is read once, at import.
"""

import json
import re
import unicodedata
from importlib.resources import files

from slugify import slugify

from app.chat.characters import INVISIBLE, is_blank, without_invisible
from app.chat.messages import Refused

# They hold emoji together, and some languages need the joiner. The bidirectional controls are not among them:
# they would turn around the text that follows the name. https://www.unicode.org/reports/tr9/
ALLOWED_INVISIBLE = "\u200d\ufe0f"
UNSEEN_DOT = re.compile("(?<=[ij])\u0307+")  # a dot upon the dot that is there already
MOST_MARKS = 4  # combining marks on one letter; the neediest script in use, Vietnamese or Hebrew, takes three

# Names that look like those of the chat itself, of its operators, or of everybody.
# fmt: off
RESERVED = (
    "admin", "admins", "administrator", "administrators", "all", "bot", "bots", "channel", "everybody", "everyone",
    "here", "mod", "moderator", "moderators", "mods", "official", "operator", "operators", "owner", "owners",
    "parlor", "parlour", "postmaster", "robot", "room", "root", "security", "server", "staff", "support", "sysop",
    "system", "webmaster",
)
# fmt: on


def clean_name(name: str, longest: int) -> str:
    """Return `name` in its composed form with single spaces, or raise `Refused`.

    Reasons: "name-blank", "name-too-long", "name-characters". `longest` counts characters, of 4 bytes at most. However
    long the input is, no more of it is looked at than `longest` characters can take before they are composed.
    """
    # First of all: composing takes time by the square of the number of marks.
    if len(name) > longest * (1 + MOST_MARKS):
        raise _too_long(longest)
    text = " ".join(unicodedata.normalize("NFC", _without_surrogates(name)).split())
    if is_blank(text):
        raise Refused("name-blank", "Enter a name.")
    if len(text) > longest:
        raise _too_long(longest)
    if not _is_plain(text):
        raise Refused("name-characters", "This name contains characters that are not allowed.")
    return text


def name_key(name: str) -> str:
    """Return the key by which two names are the same: without width and case.

    NFKC and case folding, as UAX #31 advises for identifiers; without invisible characters.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", without_invisible(folded)).casefold().split())


def skeleton(name: str) -> str:
    """Return the key by which two names look alike, in capitals or not.

    It is the skeleton of UTS 39, section 4, of the name as it is written, and folded only then. The other way round,
    what looks alike in capitals alone would be missed: a Greek capital nu is an N, the small one a v. And to count
    both in any case would make N and V the same, and in the end R, T, U, Y and Z. So a skeleton does not replace
    `name_key`: two names are too close when they have either in common.

    Characters are compared one by one: "rn" is not taken for "m", or Erna could not meet Ema, nor Marnie Mamie.
    https://www.unicode.org/reports/tr39/#Confusable_Detection
    """
    seen = _seen(_seen(name).casefold())
    return " ".join(unicodedata.normalize("NFKD", without_invisible(UNSEEN_DOT.sub("", seen))).split())


def is_reserved(name: str, title: str = "") -> bool:
    """Whether `name` is reserved: it is that of the chat, called `title`, or of its operators.

    Only letters and digits count, and what looks like them: "@dmin" passes, "- Admin -" does not.
    """
    return bool(_forms(name) & (RESERVED_FORMS | (_all_forms(title) if title else set())))


def slug_of(name: str, taken: frozenset[str] = frozenset()) -> str:
    """Return a readable address for a room called `name`: lower-case ASCII, not one of those `taken`."""
    stem = slugify(name, max_length=60, word_boundary=True) or "room"
    slug, number = stem, 1
    while slug in taken:
        number += 1
        slug = f"{stem}-{number}"
    return slug


def _too_long(longest: int) -> Refused:
    return Refused("name-too-long", f"This name is too long. The limit is {longest} characters.")


def _forms(name: str) -> set[str]:
    """Return the letters and digits of what a name is compared by."""
    forms = {"".join(filter(str.isalnum, form)) for form in (name_key(name), skeleton(name))}
    return forms - {""}


def _all_forms(word: str) -> set[str]:
    # A capital I looks like a small l, so that what looks alike depends on the case.
    return set[str]().union(*map(_forms, (word, word.lower(), word.upper(), word.title())))


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


def _seen(text: str) -> str:
    return unicodedata.normalize("NFKD", without_invisible(text)).translate(LOOKALIKES)


def _lookalikes() -> dict[int, str]:
    """Return for each character that looks like others the one that stands for all of them in a skeleton."""
    data = json.loads((files("confusable_homoglyphs") / "confusables.json").read_text("utf-8"))
    groups: dict[str, list[str]] = {}  # by each of those in it
    for character, others in data.items():
        group = groups.setdefault(character, [character])
        for other in others:
            # Right-to-left text stands between marks.
            joined = groups.get(one := other["c"].strip("\u200e"), [one])
            if joined is not group:
                group += joined
                groups.update(dict.fromkeys(joined, group))
    first: dict[str, str] = {}
    for group in groups.values():
        if group[0] not in first:
            first.update(dict.fromkeys(group, min(group, key=_order)))
    return {ord(one): _settle(one, first) for one in first if len(one) == 1}


def _order(character: str) -> tuple[bool, bool, bool, str]:
    """Sort single characters first, of them ASCII's letters, and small ones before capitals."""
    is_single = len(unicodedata.normalize("NFKD", character)) == 1
    is_letter = character.isascii() and character.isalpha()
    return not is_single, not is_letter, character != character.casefold(), character


def _settle(character: str, first: dict[str, str]) -> str:
    """Return what `character` looks like, folded, until neither changes it any more."""
    while (settled := first.get(character, character).casefold()) != character:
        character = settled
    return character


LOOKALIKES = _lookalikes()
RESERVED_FORMS = set[str]().union(*map(_all_forms, RESERVED))
