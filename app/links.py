"""Where the web addresses are in a text.

Finding them is linkify-it's work; this module says which of them we link. It knows no HTML.
"""

from dataclasses import dataclass
from functools import lru_cache

from linkify_it import LinkifyIt

from app.characters import INVISIBLE

# Only what is certainly meant as a web address: "www.…" and http(s) with their scheme. A bare "main.py" or
# "README.md" would be one too (.py and .md are countries), and is not what people mean in a chat.
SCHEMES = ("http:", "https:")
HINTS = ("http", "www.")  # every address that we link has one


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of text; with an `href` it is a web address."""

    text: str
    href: str | None = None


def split(text: str) -> tuple[Part, ...]:
    """Return `text` in parts, in order: joined, their texts are `text` again."""
    lowered = text.lower()
    if any(hint in lowered for hint in HINTS):
        return _found(text)
    return (Part(text),) if text else ()


@lru_cache(maxsize=1024)  # the same message is rendered for each time zone, and looking takes longer than all the rest
def _found(text: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    end = 0
    for match in _finder().match(text) or ():
        if match.schema not in SCHEMES and not match.text.lower().startswith("www."):
            continue
        if INVISIBLE.search(match.text):  # it could read as another address than it is
            continue
        if match.index > end:
            parts.append(Part(text[end : match.index]))
        parts.append(Part(match.text, match.url))
        end = match.last_index
    if end < len(text):
        parts.append(Part(text[end:]))
    return tuple(parts)


@lru_cache(maxsize=1)
def _finder() -> LinkifyIt:
    finder = LinkifyIt(options={"fuzzy_email": False, "fuzzy_ip": False, "fuzzy_link": True})
    for scheme in ("ftp:", "//", "mailto:"):
        finder.add(scheme, None)
    return finder
