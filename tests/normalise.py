"""HTML made comparable: parsed as a browser would, attributes sorted, one element per line."""

import re
from html import escape

from bs4 import BeautifulSoup
from bs4.element import NavigableString, Tag

# What differs from run to run and means nothing.
VOLATILE = (
    (re.compile(r"/static/[0-9a-f]{12}/"), "/static/DIGEST/"),
    (re.compile(r"[0-9a-f]{8}:(?=\d)"), "EPOCH:"),
)
VOLATILE_ATTRIBUTES = {"nonce": "NONCE", "hx-nonce": "NONCE"}
# Where white space is what somebody wrote.
VERBATIM = {"textarea", "pre", "style"}


def normalise(html: str) -> str:
    """Return `html` with one element or text per line, indented, attributes sorted, volatile parts named."""
    for pattern, name in VOLATILE:
        html = pattern.sub(name, html)
    soup = BeautifulSoup(html, "html.parser")
    for select in soup.select("select[name=time_zone]"):
        for option in select.find_all("option")[1:]:
            option.decompose()
    lines: list[str] = []
    for child in soup.children:
        _write(child, 0, lines)
    return "\n".join(lines) + "\n"


def _write(node: object, depth: int, lines: list[str]) -> None:
    indent = "  " * depth
    if isinstance(node, Tag):
        lines.append(f"{indent}<{node.name}{_attributes(node)}>")
        for child in node.children:
            _write(child, depth + 1, lines)
    elif isinstance(node, NavigableString):
        parent = node.parent
        text = str(node)
        if parent is not None and (parent.name in VERBATIM or "message__body" in (parent.get("class") or [])):
            lines.append(indent + escape(repr(text), quote=False))
        elif text.strip():
            lines.append(indent + escape(" ".join(text.split()), quote=False))


def _attributes(tag: Tag) -> str:
    return "".join(f' {name}="{_value(name, tag[name])}"' for name in sorted(tag.attrs))


def _value(name: str, value: object) -> str:
    if name in VOLATILE_ATTRIBUTES:
        return VOLATILE_ATTRIBUTES[name]
    return escape(" ".join(value) if isinstance(value, list) else str(value))
