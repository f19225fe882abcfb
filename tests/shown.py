"""What of a message's text a page shows, when its markup has become elements."""

from app.chat.links import Part
from app.chat.markup import Code, Link, Piece, parse


def shown_text(body: str) -> str:
    """Return the text that is shown of `body`, with hosts as they were said."""
    return "".join(map(_text, parse(body)))


def _text(piece: Piece) -> str:
    match piece:
        case Part(text) | Code(text):
            return text
        case Link(_, shown):
            return "".join(map(_text, shown))
        case _:
            return ""
