"""The HTML of a message's body, piece by piece: each text is escaped as it is put in, and each tag is one of ours."""

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from markupsafe import Markup, escape

from app.chat.links import Part
from app.chat.markup import Close, Code, Link, Open, Piece, parse
from app.chat.mentions import split
from app.chat.messages import Mention
from app.html.highlight import highlighted

REL = Markup(' rel="noopener nofollow ugc"')


def body_html(body: str, mentions: Sequence[Mention] = ()) -> Markup:
    """Return the HTML of `body`, with these `mentions` in it."""
    pieces = parse(body)
    return _join(_with_mentions(pieces, mentions) if mentions else map(_piece, pieces))


def _with_mentions(pieces: Iterable[Piece], mentions: Sequence[Mention]) -> Iterator[Markup]:
    for piece in pieces:
        if isinstance(piece, Part) and not piece.href:
            yield from map(_text, split(piece.text, mentions))
        else:
            yield _piece(piece)


def _text(text: str | Mention) -> Markup:
    if isinstance(text, str):
        return escape(text)
    return Markup('<bdi class="mention" data-for="{}">@{}</bdi>').format(text.member_id, text.name)


def _piece(piece: Piece) -> Markup:
    match piece:
        case Part(text, href, shown):
            return _link(href, escape(shown or text)) if href else escape(text)
        case Link(href, inside):
            return _link(href, _join(map(_piece, inside)))
        case Code(text, is_block, language):
            code = Markup("<code>{}</code>").format(_code(text, language) if is_block else text)
            return Markup('<pre class="code" tabindex="0">{}</pre>').format(code) if is_block else code
        case Open(tag, start):
            return Markup("<{}>").format(tag) if start == 1 else Markup('<{} start="{}">').format(tag, start)
        case Close(tag):
            return Markup("</{}>").format(tag)
        case _:
            assert_never(piece)


def _link(href: str, shown: Markup) -> Markup:
    target = Markup("") if href.startswith("mailto:") else Markup(' target="_blank"')
    return Markup('<a href="{}"{}{}>{}</a>').format(href, REL, target, shown)


def _code(text: str, language: str) -> Markup:
    """Return code with a class for each kind of word."""
    return _join(
        Markup('<span class="{}">{}</span>').format(kind, word) if kind else escape(word)
        for kind, word in highlighted(text, language)
    )


def _join(pieces: Iterable[Markup]) -> Markup:
    return Markup("").join(pieces)
