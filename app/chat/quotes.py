"""Replies quote the message that they answer. A quote follows its message, also where that is edited or deleted."""

from dataclasses import replace

from app.chat.links import Part
from app.chat.markup import Code, Link, Piece, parse
from app.chat.messages import Message, Quote

LONGEST_LINE = 100  # characters


def quote(message: Message) -> Quote:
    """Return what a reply to `message` shows of it."""
    line = None if message.is_deleted else first_line(message.body)
    return Quote(message.position, message.author_name, line)


def requoted(message: Message, original: Message | None) -> Message:
    """Return `message` with what it quotes as it is now, if it is a reply to `original`."""
    if original is None or message.reply is None or message.reply.position != original.position:
        return message
    return replace(message, reply=quote(original))


def first_line(body: str) -> str:
    """Return the first line of a text, without its markup."""
    text = "".join(map(_text, parse(body[: 10 * LONGEST_LINE]))).strip()
    line = text.partition("\n")[0]
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"


def _text(piece: Piece) -> str:
    match piece:
        case Part(text, _, shown):
            return shown or text
        case Code(text):
            return text
        case Link(_, inside):
            return "".join(map(_text, inside))
        case _:
            return ""
