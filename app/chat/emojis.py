"""Emoji: which there are, what they are called, and a search by name. Unicode's list, from the package `emoji`."""

import re
from functools import cache

import emoji

QUICK = ("👍", "❤️", "😂", "🎉", "😮", "😢")  # one click away
POPULAR = (
    *QUICK,
    *("😀", "😅", "🙂", "😉", "😍", "🤔", "🙄", "😎", "😭", "😡", "🤯", "🥳"),
    *("😴", "🤷", "🤦", "🙏", "👏", "🙌", "💪", "👎", "👌", "👋", "🤝", "👀"),
    *("🔥", "✨", "⭐", "💯", "✅", "❌", "❓", "❗", "💡", "🚀", "🐛", "🎂", "☕", "🍕", "🌈"),
)
LONGEST_QUERY = 50  # characters
NAME = re.compile(r":([a-z0-9_+-]{1,60}):")


def is_emoji(text: str) -> bool:
    """Whether `text` is one emoji, and all of it: as Unicode recommends to write it."""
    found = emoji.EMOJI_DATA.get(text)
    return found is not None and found["status"] == emoji.STATUS["fully_qualified"]


def search(query: str, most: int) -> list[tuple[str, str]]:
    """Return up to `most` emoji, each with its name, whose names have words that begin as those of `query` do.

    Without a query, those that are used most.
    """
    if not query.strip():
        return [(each, name(each)) for each in POPULAR]
    wanted = _split(query[:LONGEST_QUERY])
    found = [
        (each, words)
        for each, words in _words().items()
        if all(any(word.startswith(beginning) for word in words) for beginning in wanted)
    ]
    found.sort(key=lambda pair: len(pair[1]))  # the plainest first
    return [(each, name(each)) for each, _ in found[:most]]


def name(text: str) -> str:
    """Return the name of an emoji: `thumbs up`."""
    return str(emoji.EMOJI_DATA[text]["en"]).strip(":").replace("_", " ")


def _split(names: str) -> list[str]:
    """Return the words of names, with or without colons: `:thumbs_up:`."""
    return names.casefold().replace("_", " ").replace(":", " ").split()


@cache
def _words() -> dict[str, list[str]]:
    """Return the words of the names of every emoji, without those for shades of skin."""
    names = {each: [known["en"], *known.get("alias", ())] for each, known in emoji.EMOJI_DATA.items() if is_emoji(each)}
    return {each: _split(" ".join(called)) for each, called in names.items() if "skin_tone" not in called[0]}


def named(text: str) -> str:
    """Return `text` with emoji instead of their names: `:rocket:`."""
    return NAME.sub(_by_name, text) if ":" in text else text


def count_if_alone(text: str) -> int:
    """Return how many emoji a text consists of; 0 where there is anything else in it but spaces."""
    found = emoji.emoji_list(text)
    left = "".join(text.split())
    return len(found) if "".join(each["emoji"] for each in found) == left else 0


def _by_name(found: re.Match[str]) -> str:
    return _names().get(found[1], found[0])


@cache
def _names() -> dict[str, str]:
    """Return every emoji by each of its names, as people write them between colons."""
    return {
        called.strip(":"): each
        for each, known in emoji.EMOJI_DATA.items()
        if is_emoji(each)
        for called in (known["en"], *known.get("alias", ()))
    }
