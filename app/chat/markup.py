"""What a body means: emphasis, code, quotes, lists, links, emoji. A subset of Markdown (CommonMark, with ~~strikes~~).

`parse` returns plain values, in which every text is still a text. Text without markup is one piece of it, with all its
spaces and line ends. markdown-it-py finds the markup; what it makes of it as HTML is not used.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from app.chat import emojis, links

RULES = ("fence", "blockquote", "list", "emphasis", "strikethrough", "backticks", "link", "escape")
# Without one of these, and without a line that begins a quote or a list, there is no markup.
MARKS = re.compile(r"[*_~`\[\]\\]")
BEGINNINGS = re.compile(r"^ {0,3}(?:>|[-+] |\d{1,9}[.)] )", re.MULTILINE)
MOST_MARKS = 1000  # in one text: of more, none is looked at, since brackets without end take quadratic time
LONGEST_LANGUAGE = 20  # characters
LARGE_EMOJI = 6  # a text of so many emoji, and nothing else, is shown large
TAGS = {
    "strong": "strong",
    "em": "em",
    "s": "s",
    "blockquote": "blockquote",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
}


@dataclass(frozen=True, slots=True)
class Open:
    """An element begins: one of the values of `TAGS`. A list may begin with another number than 1."""

    tag: str
    start: int = 1


@dataclass(frozen=True, slots=True)
class Close:
    """An element ends."""

    tag: str


@dataclass(frozen=True, slots=True)
class Link:
    """A text with an address behind it. `shown` may have formatting in it."""

    href: str
    shown: tuple["Piece", ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Code, in a line of text or as a block, in a language that somebody named; none: ""."""

    text: str
    is_block: bool = False
    language: str = ""


Piece = links.Part | Open | Close | Link | Code


def parse(body: str) -> Sequence[Piece]:
    """Return what `body` consists of."""
    if not MARKS.search(body) and not BEGINNINGS.search(body):
        return list(_text(body))
    if len(MARKS.findall(body)) > MOST_MARKS:
        return links.split(body)
    return list(_blocks(PARSER.parse(body)))


def is_emoji_alone(body: str) -> bool:
    """Whether a text is a few emoji and nothing else."""
    return not body.isascii() and len(body) <= 10 * LARGE_EMOJI and 0 < emojis.count_if_alone(body) <= LARGE_EMOJI


def _text(text: str) -> Iterator[Piece]:
    """Yield the pieces of a text: addresses, and what is between them, with emoji for their names."""
    for part in links.split(text):
        yield part if part.href else links.Part(emojis.named(part.text))


def _blocks(tokens: Sequence[Token]) -> Iterator[Piece]:
    """Yield the pieces of blocks. Paragraphs are text with line ends between them."""
    last: Token | None = None  # the paragraph before, if nothing is between
    for token in tokens:
        match token.type:
            case "inline":
                if last is not None and last.map and token.map:
                    yield links.Part("\n" * (token.map[0] - last.map[1] + 1))
                yield from _inline(token.children or [])
                last = token
            case "fence":
                yield Code(token.content.removesuffix("\n"), is_block=True, language=_language(token.info))
                last = None
            case "paragraph_open" | "paragraph_close":
                pass
            case _:
                yield _edge(token)
                last = None


def _edge(token: Token) -> Open | Close:
    """Return the beginning or the end of an element."""
    name, _, end = token.type.rpartition("_")
    if end == "close":
        return Close(TAGS[name])
    start = token.attrs.get("start", 1)
    return Open(TAGS[name], start if isinstance(start, int) else 1)


def _inline(tokens: Sequence[Token]) -> Iterator[Piece]:
    """Yield the pieces of one paragraph."""
    rest = iter(tokens)
    for token in rest:
        match token.type:
            case "text":
                yield from _text(token.content)
            case "text_special":
                yield links.Part(token.content)
            case "address":
                yield links.Part(token.content, token.meta["href"], token.meta["shown"])
            case "code_inline":
                yield Code(token.content)
            case "link_open":
                yield from _link(token, rest)
            case _:
                yield _edge(token)


def _link(opened: Token, rest: Iterator[Token]) -> Iterator[Piece]:
    """Yield a link, up to its end in `rest`: as text where its address is none, or where it shows another one."""
    inside: list[Token] = []
    for token in rest:
        if token.type == "link_close":
            break
        inside.append(token)
    href = str(opened.attrs.get("href", ""))
    found = links.split(href)
    is_address = len(found) == 1 and found[0].href == href
    shows_another = any(token.type == "address" for token in inside)
    shown = tuple(_inline(inside))
    if is_address and shown and not shows_another:
        yield Link(href, shown)
    else:
        yield from (links.Part("["), *shown, links.Part(f"]({href})"))


def _language(info: str) -> str:
    return info.strip().partition(" ")[0][:LONGEST_LANGUAGE].lower()


# Rules of ours


def _find_text(state: StateInline, silent: bool) -> bool:
    """Take text up to the next mark, or a whole address: marks in an address are none."""
    if state.src not in state.env:  # once for each paragraph
        state.env[state.src] = _spans(state.src)
    spans = state.env[state.src]
    starts = [start for start, _ in spans]
    number = bisect_right(starts, state.pos) - 1
    if number >= 0 and starts[number] == state.pos:
        part = spans[number][1]
        if not silent:
            token = state.push("address", "", 0)
            token.content, token.meta = part.text, {"href": part.href, "shown": part.shown}
        state.pos += len(part.text)
        return True
    mark = MARKS.search(state.src, state.pos, state.posMax)
    end = min(mark.start() if mark else state.posMax, starts[number + 1] if number + 1 < len(starts) else state.posMax)
    if end <= state.pos:
        return False
    if not silent:
        state.pending += state.src[state.pos : end]
    state.pos = end
    return True


def _spans(text: str) -> list[tuple[int, links.Part]]:
    """Return where each address in `text` begins, and the address."""
    spans, position = [], 0
    for part in links.split(text):
        if part.href:
            spans.append((position, part))
        position += len(part.text)
    return spans


def _find_paragraph(rule, state: StateBlock, start: int, end: int, silent: bool) -> bool:  # type: ignore[no-untyped-def]
    """Find a paragraph, and leave its spaces as they are."""
    found = bool(rule(state, start, end, silent))
    token = state.tokens[-2]
    if found and token.map:
        first, last = token.map
        token.content = state.getLines(first, last, state.blkIndent, False)
    return found


def _find_quote(rule, state: StateBlock, start: int, end: int, silent: bool) -> bool:  # type: ignore[no-untyped-def]
    """Find a quote, which has a space after its mark: `>_<` is none."""
    after = state.bMarks[start] + state.tShift[start] + 1
    if state.src[after : after + 1] not in ("", " ", "\n", ">"):
        return False
    return bool(rule(state, start, end, silent))


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("zero").enable(RULES)
    parser.inline.ruler.at("text", _find_text)
    for name, rule in (("paragraph", _find_paragraph), ("blockquote", _find_quote)):
        known = next(each for each in parser.block.ruler.__rules__ if each.name == name)
        parser.block.ruler.at(name, partial(rule, known.fn), {"alt": known.alt})
    return parser


PARSER = _make_parser()
