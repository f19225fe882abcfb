"""Texts that are kept while there is room for them.

A plain value: it knows nothing of what the texts are, nor of when they would be others. Whoever keeps one chooses a
key that says everything that it was made from.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Text = TypeVar("Text", bound=str)


class Kept(Generic[Text]):
    """Keeps texts of up to `most` characters in all. Those that nobody asked for for longest go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._texts: OrderedDict[Hashable, Text] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        """How many characters are kept."""
        return self._characters

    def get(self, key: Hashable) -> Text | None:
        """Return the text that is kept under `key`."""
        text = self._texts.get(key)
        if text is not None:
            self._texts.move_to_end(key)
        return text

    def keep(self, key: Hashable, text: Text) -> Text:
        """Keep `text`, which is new, and return it."""
        self._texts[key] = text
        self._characters += len(text)
        while self._characters > self._most:
            self._characters -= len(self._texts.popitem(last=False)[1])
        return text
