"""A page without a browser: HTML, and what htmx does with the out-of-band parts of a frame.

https://four.htmx.org/reference/attributes/hx-swap-oob and `processOOB`, `insertContent` of htmx 4.0.1: the
target of each part is looked up before the first is swapped, and a target that an earlier part has replaced
is gone.
"""

import re

from bs4 import BeautifulSoup
from bs4.element import Tag

from tests.html import normalise


class Page:
    """What one browser shows."""

    def __init__(self, html: str) -> None:
        # Without the 400 time zones: they take most of the time to parse, and never change.
        self.soup = BeautifulSoup(re.sub(r"<option>[^<]*</option>", "", html), "html.parser")

    def take(self, frame: str) -> None:
        """Swap in the parts of `frame`."""
        parts = BeautifulSoup(frame, "html.parser").find_all(True, recursive=False)
        swaps = [(part, *_swap(part)) for part in parts if isinstance(part, Tag)]
        targets = [self._find(selector) for _, _, selector in swaps]
        for (part, style, _), target in zip(swaps, targets, strict=True):
            if target is not None and target.parent is not None:
                _insert(part, style, target)

    def show(self, selector: str) -> str:
        """Return the element that `selector` selects, normalised."""
        return normalise(str(self._find(selector)))

    def value(self, selector: str) -> str:
        """Return the value of an input."""
        found = self._find(selector)
        assert found
        return str(found["value"])

    def _find(self, selector: str) -> Tag | None:
        # By id is what nearly all are found by, and a hundred times as fast as by a selector.
        if found := re.fullmatch(r"#([\w-]+)", selector):
            element = self.soup.find(id=found[1])
            return element if isinstance(element, Tag) else None
        return self.soup.select_one(selector)

    def ids(self) -> list[str]:
        """Return the ids of all messages, in their order on the page."""
        return [str(message["id"]) for message in self.soup.select("#messages .message")]


def _swap(part: Tag) -> tuple[str, str]:
    """Return the style and the target's selector of an out-of-band part."""
    spec = str(part.attrs.pop("hx-swap-oob"))
    if long := re.fullmatch(r"(\w+) target:'?([^']+?)'?( strip:true)?", spec):
        return (f"{long[1]} strip" if long[3] else long[1]), long[2]
    style, _, selector = spec.partition(":")
    return style, selector or f"#{part['id']}"


def _insert(part: Tag, style: str, target: Tag) -> None:
    match style:
        case "true" | "outerHTML" | "outerMorph":
            target.replace_with(part)
        case "outerHTML strip":
            target.replace_with(*list(part.children))
        case "innerHTML":
            target.clear()
            target.extend(list(part.children))
        case "beforeend":
            target.extend(list(part.children))
        case "afterbegin":
            for place, child in enumerate(list(part.children)):
                target.insert(place, child)
        case "delete":
            target.decompose()
        case _:
            raise AssertionError(f"a swap that this page does not know: {style}")
