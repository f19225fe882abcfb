"""The kinds of words in code, by Pygments."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import (
    Comment,
    Generic,
    Keyword,
    Literal,
    Name,
    Number,
    Operator,
    String,
    _TokenType,
    is_token_subtype,
)

# The languages that are highlighted, by the names that people write. Not Java: its lexer takes a third of a second for
# 4,000 characters of "a b a b …".
LANGUAGES = frozenset(
    (
        *("bash", "c", "c++", "cpp", "cs", "css", "diff", "docker", "dockerfile", "go", "golang"),
        *("html", "ini", "javascript", "js", "json", "kotlin", "lua", "make", "makefile", "nginx"),
        *("php", "py", "python", "rb", "ruby", "rs", "rust", "scss", "sh", "shell", "sql"),
        *("swift", "toml", "ts", "typescript", "xml", "yaml", "yml"),
    )
)
# Code beyond this is shown as it is. Some lexers go back to the start of a line for each word, and to the first of
# several empty lines.
LONGEST = 3000  # characters
UNUSUAL = re.compile(r"[^\n]{300}|\n\s*\n\s*\n\s*\n")
# The class of each kind: static/css/code.css paints as many.
KINDS: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "code-comment"),
    (Keyword, "code-keyword"),
    (Name.Function, "code-name"),
    (Name.Class, "code-name"),
    (Name.Tag, "code-keyword"),
    (Name.Attribute, "code-name"),
    (Name.Builtin, "code-builtin"),
    (Number, "code-number"),
    (String, "code-string"),
    (Literal, "code-number"),
    (Operator.Word, "code-keyword"),
    (Generic.Inserted, "code-inserted"),
    (Generic.Deleted, "code-deleted"),
)


def highlighted(code: str, language: str) -> Iterator[tuple[str, str]]:
    """Yield the words of `code`, each with the class of its kind ("": none). Together they are all of it."""
    if language not in LANGUAGES or len(code) > LONGEST or UNUSUAL.search(code):
        yield "", code
        return
    for kind, words in groupby(_lexer(language).get_tokens(code), key=lambda token: _class_of(token[0])):
        yield kind, "".join(word for _, word in words)


@cache  # a few dozen
def _lexer(language: str) -> Lexer:
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@cache
def _class_of(kind: _TokenType) -> str:
    return next((name for known, name in KINDS if is_token_subtype(kind, known)), "")
