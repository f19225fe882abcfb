"""What a body means: the subset of Markdown, and what is none."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.chat import links
from app.chat.links import Part
from app.chat.markup import Close, Code, Link, Open, Piece, is_emoji_alone, parse
from tests.hostile import MARKUP
from tests.shown import shown_text


def brief(pieces: object) -> str:
    """Return pieces in a line: an element as its tag, a link as its address and what it shows."""
    assert isinstance(pieces, list | tuple)
    return "".join(map(_brief, pieces))


def _brief(piece: Piece) -> str:
    match piece:
        case Part(text, href, _):
            return f"<{href}>" if href else text
        case Open(tag, start):
            return f"<{tag}>" if start == 1 else f"<{tag} {start}>"
        case Close(tag):
            return f"</{tag}>"
        case Link(href, shown):
            return f"<{href}|{brief(shown)}>"
        case Code(text, is_block, language):
            return f"<code {language}>{text}</code>" if is_block else f"<code>{text}</code>"
    raise AssertionError(piece)


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ("*a* _b_ **c** __d__ ~~e~~", "<em>a</em> <em>b</em> <strong>c</strong> <strong>d</strong> <s>e</s>"),
        ("***a*** **b *c* d**", "<em><strong>a</strong></em> <strong>b <em>c</em> d</strong>"),
        ("`a *b*` ``c`d``", "<code>a *b*</code> <code>c`d</code>"),
        ("```py x\na\n\n  b\n```\nc", "<code py>a\n\n  b</code>c"),
        ("```\nwithout an end", "<code >without an end</code>"),
        ("> a\n> b\n\nc", "<blockquote>a\nb</blockquote>c"),
        ("- a\n- b\n  1. c\n", "<ul><li>a</li><li>b<ol><li>c</li></ol></li></ul>"),
        ("3. a\n4. b", "<ol 3><li>a</li><li>b</li></ol>"),
        ("[a *b*](https://x.org/?a=1&b=2)", "<https://x.org/?a=1&b=2|a <em>b</em>>"),
        ("[mail](mailto:a@b.org)", "[mail](mailto:a@b.org)"),
        (":+1: and :rocket:, 12:30:45 :no_such:", "👍 and 🚀, 12:30:45 :no_such:"),
        ("\\*a\\*", "*a*"),
    ],
)
def test_markup_is_parsed_as_markdown(body: str, meaning: str) -> None:
    assert brief(parse(body)) == meaning


@pytest.mark.parametrize(
    "body",
    [
        "2 * 3 * 4 = 24",
        "snake_case_name and __init",
        "a  b\n\n\n   c",
        ">_< and >:(",
        "-1 and +1",
        "C:\\dir\\file",
        "# heading\n---\n| a | b |",
        "1.5 times",
        "<b>&amp;</b>",
        "[a] (b)",
        "    indented\n\ttab",
        "*unfinished and **so on",
    ],
)
def test_text_that_resembles_markup_stays_text(body: str) -> None:
    assert brief(parse(body)) == body


@pytest.mark.parametrize("href", ["javascript:x", "data:,x", "//x.org", "https://a@b.org", "x", "", "https://"])
def test_a_link_leads_only_where_an_address_in_a_text_may_lead(href: str) -> None:
    assert not any(isinstance(piece, Link) for piece in parse(f"[a]({href})"))


@pytest.mark.breaks("app/chat/markup.py", "and not shows_another", "")
def test_a_link_does_not_show_another_address() -> None:
    assert brief(parse("[https://bank.org](https://evil.org)")) == "[<https://bank.org>](https://evil.org)"


@pytest.mark.breaks("app/chat/markup.py", "if number >= 0 and starts[number] == state.pos:", "if False:")
def test_marks_in_an_address_are_none() -> None:
    assert brief(parse("https://x.org/_a_/*b/ *c*")) == "<https://x.org/_a_/*b/> <em>c</em>"


@pytest.mark.breaks("app/chat/markup.py", "token.content = state.getLines", "_ = state.getLines")
@example("a\n\n   b")
@given(st.text(st.sampled_from("ab \n\t.,:!?#|=&<>()12\u00e9\u7528")))
def test_text_without_markup_is_unchanged(body: str) -> None:
    """With markup before it, too: then all of it is parsed."""
    if re.search(r"^ {0,3}(>|\d{1,9}[.)] )", body, re.MULTILINE):
        return
    assert list(parse(body)) == list(links.split(body))
    text = f"x{body}x"
    assert brief(parse(f"*y*{text}")) == f"<em>y</em>{brief(links.split(text))}"


@given(st.text(st.sampled_from("ab *_~`[]()>-\n\\1.:/hw")) | st.sampled_from(MARKUP))
def test_elements_are_closed_in_their_order_and_no_letter_is_lost(body: str) -> None:
    opened: list[str] = []
    for piece in parse(body):
        if isinstance(piece, Open):
            opened.append(piece.tag)
        elif isinstance(piece, Close):
            assert opened.pop() == piece.tag
    assert opened == []
    letters = iter(body)
    assert all(letter in letters for letter in re.sub(r"[^a-z]", "", shown_text(body)))


@pytest.mark.breaks("app/chat/markup.py", "if len(MARKS.findall(body)) > MOST_MARKS:", "if False:")
def test_a_text_with_too_many_marks_is_not_parsed() -> None:
    """Brackets would take quadratic time."""
    assert list(parse("[*a*" * 400)) == [Part("[*a*" * 400)]
    assert len(parse("[*a*" * 300)) > 1


@pytest.mark.parametrize(
    ("body", "is_large"),
    [
        ("👍", True),
        ("👍 🎉\n❤️", True),
        ("👨‍👩‍👧‍👦" * 6, True),
        ("👍" * 7, False),
        ("👍 a", False),
        ("", False),
        ("日本", False),
        ("12", False),
    ],
)
def test_a_few_emoji_alone_are_large(body: str, is_large: bool) -> None:
    assert is_emoji_alone(body) == is_large
