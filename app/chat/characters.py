"""Which characters are visible. Plain functions of strings, used for messages and names."""

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point, which Python's tables lack, and the empty braille pattern: they take
# no room, or show nothing in it. https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point
INVISIBLE_CLASS = (  # within the brackets of a pattern
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
INVISIBLE = re.compile(f"[{INVISIBLE_CLASS}]")
# Separators, controls, format characters, halves of surrogate pairs. What is not assigned yet ("Cn") is not
# among them: to an older Python the newest emoji are.
EMPTY = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs"})


def is_blank(text: str) -> bool:
    """Whether `text` has no visible character."""
    return all(unicodedata.category(character) in EMPTY or INVISIBLE.match(character) for character in text)


def without_invisible(text: str) -> str:
    """Return `text` without the characters that show nothing."""
    return INVISIBLE.sub("", text)
