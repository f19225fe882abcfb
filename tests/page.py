"""A page without a browser: HTML, and what htmx does with the out-of-band parts of a frame.

https://four.htmx.org/reference/attributes/hx-swap-oob and `processOOB`, `insertContent` of htmx 4.0.1: the
target of each part is looked up before the first is swapped, and a target that an earlier part has replaced
is gone.
"""

import re
from copy import copy

from bs4 import BeautifulSoup
from bs4.element import Tag

from tests.normalise import normalise


class Page:
    """What one browser shows."""

    def __init__(self, html: str) -> None:
        # Without the 400 time zones: they take most of the time to parse, and never change.
        self.soup = BeautifulSoup(re.sub(r"<option>[^<]*</option>", "", html), "html.parser")

    def take(self, frame: str) -> None:
        """Swap in the parts of `frame`."""
        parts = BeautifulSoup(frame, "html.parser").find_all(True, recursive=False)
        swaps = [(part, *_swap(part)) for part in parts if isinstance(part, Tag)]
        found = [self.find_all(selector) for _, _, selector in swaps]
        for (part, style, _), targets in zip(swaps, found, strict=True):
            for target in targets:
                if target.parent is not None:
                    _insert(part if target is targets[-1] else copy(part), style, target)

    # Older messages, as htmx loads them

    @property
    def loads_older(self) -> Tag | None:
        """What loads older messages on a page that is scrolled up; None where the log begins."""
        if self.soup.select("#history > .older"):
            return self.soup.select_one("#history > .older > .older__loads")
        return self.soup.select_one(".older__before + .older__loads")

    def before(self) -> int:
        """Return the position before which those are that would be loaded now."""
        (link,) = self.soup.select("#history > .older a") or self.soup.select("#before a")
        return int(str(link["href"]).rpartition("=")[2])

    def answer(self, loads: Tag, html: str) -> None:
        """Take older messages that `loads` has asked for."""
        (history,) = self.find_all("#history")
        answer = BeautifulSoup(html, "html.parser")
        for part in answer.select("[hx-swap-oob]"):
            self.take(str(part.extract()))
        fresh = list(answer.children)
        if str(loads["hx-swap"]) == "innerHTML":
            history.clear()
            history.extend(fresh)
        elif loads.parent is not None and loads.parent.parent is not None:  # else #history was emptied meanwhile
            loads.parent.replace_with(*fresh)

    def unchecked(self) -> list[str]:
        """Return the cursors of what came over HTTP, and was not checked for changes since."""
        return [str(each["value"]) for each in self.soup.select("#recheck input")]

    def returns(self) -> None:
        """Somebody is at the newest message again."""
        if self.soup.select("#forget > *"):
            for each in list(self.find_all("#history")[0].children):
                each.extract()

    def show(self, selector: str) -> str:
        """Return the element that `selector` selects, normalised."""
        return normalise("".join(map(str, self.find_all(selector)[:1])))

    def timeline(self) -> list[str]:
        """Return all messages, older ones first, and what else stands among them, normalised.

        Whether they were read out when they came is not what is shown.
        """
        items = self.soup.select(".messages > li")
        return [normalise(re.sub(' aria-live="off"', "", str(item))) for item in items]

    def value(self, selector: str) -> str:
        """Return the value of an input."""
        (found,) = self.find_all(selector)
        return str(found["value"])

    def find_all(self, selector: str) -> list[Tag]:
        """Return the elements that `selector` selects."""
        # By id is what nearly all are found by, and a hundred times as fast as by a selector.
        if found := re.fullmatch(r"#([\w-]+)", selector):
            element = self.soup.find(id=found[1])
            return [element] if isinstance(element, Tag) else []
        return list(self.soup.select(selector))

    def ids(self) -> list[str]:
        """Return the ids of all messages, in their order on the page."""
        return [str(message["id"]) for message in self.soup.select(".messages .message")]


def _swap(part: Tag) -> tuple[str, str]:
    """Return the style and the target's selector of an out-of-band part."""
    spec = str(part.attrs.pop("hx-swap-oob"))
    if long := re.fullmatch(r"(\w+)(?: swap:\w+)? target:'?([^']+?)'?( strip:true)?", spec):
        return (f"{long[1]} strip" if long[3] else long[1]), long[2]
    style, _, selector = spec.partition(":")
    return style, selector or f"#{part['id']}"


def _insert(part: Tag, style: str, target: Tag) -> None:
    match style:
        case "outerMorph" if "draft" in target.get_attribute_list("class"):
            pass  # its children are left alone (room.html), and it has no more
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
