"""Grouping: a message continues the one before it, or starts a group, or a day.

Plain functions of messages. This module knows no clock, no HTML and no room.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo

from app.chat.messages import Message

MOST_COUNTED = 1000  # messages of a gap


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as it sits in the timeline.

    `continues`: it belongs to the message before it and repeats neither name nor avatar.
    `day`: the date that starts with this message, for a separator; None within a day.
    """

    message: Message
    continues: bool
    day: date | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that a page does not show yet: those at positions `after` < p < `before`.

    `size` is how many they are, counted up to `MOST_COUNTED`.
    """

    after: int
    before: int
    size: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Consecutive messages of a room: `entries`, oldest first.

    They are as they were when the log went up to `position`, or later. More can be loaded before the position `older`;
    None at the beginning of the log. Pages compare by identity, so that a cache looks one up without comparing entries.
    """

    entries: Sequence[Entry]
    position: int
    older: int | None

    @property
    def first(self) -> int:
        """The position of the first message; 0 if there is none."""
        return self.entries[0].message.position if self.entries else 0

    @property
    def last(self) -> int:
        """The position of the last message; 0 if there is none."""
        return self.entries[-1].message.position if self.entries else 0


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Consecutive messages, oldest first, as they were when the log went up to `position`, or later."""

    messages: Sequence[Message]
    position: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a room's log at the positions `after` < p <= `upto`.

    `new` messages, in order, and older ones that `changed`, by their last change; each as it is then, or later.
    """

    after: int
    upto: int
    new: Sequence[Message]
    changed: Sequence[Message] = ()


def split(changes: Changes, most: int, most_characters: int) -> Iterator[Changes]:
    """Yield `changes` in parts, each with at most `most` messages of either kind, and so many characters of it.

    What changed comes first: a page is complete up to a new message only with all that changed before.
    """
    after, new, changed = changes.after, changes.new, changes.changed
    while len(changed) > (count := min(portion(changed, most_characters), most)):
        yield Changes(after, after, (), changed[:count])
        changed = changed[count:]
    while len(new) > (count := min(portion(new, most_characters), most)):
        yield Changes(after, new[count - 1].position, new[:count], changed)
        after, new, changed = new[count - 1].position, new[count:], ()
    yield Changes(after, changes.upto, new, changed)


def portion(messages: Sequence[Message], most: int) -> int:
    """Return how many of `messages`, from the first, are at most `most` characters together; at least one."""
    count, characters = 0, 0
    for message in messages:
        characters += len(message.body)
        if characters > most and count:
            break
        count += 1
    return count


def arrange(messages: Iterable[Message], after: Message | None, zone: tzinfo, window: timedelta) -> list[Entry]:
    """Return the entries of `messages`, which come after `after` (None: the log begins with them).

    `zone` is where the viewer's day begins and ends, `window` the longest pause within a group.
    """
    entries = []
    for message in messages:
        entries.append(place(message, after, zone, window))
        after = message
    return entries


def place(message: Message, after: Message | None, zone: tzinfo, window: timedelta) -> Entry:
    """Return the entry of one message that comes after `after`."""
    day = message.created_at.astimezone(zone).date()
    if after is None or after.created_at.astimezone(zone).date() != day:
        return Entry(message, continues=False, day=day)
    return Entry(message, continues=_is_continuation(message, after, window), day=None)


def _is_continuation(message: Message, after: Message, window: timedelta) -> bool:
    # A message that seems older than the one before it says that the clock was set back, and not how long ago it was.
    is_same_author = (message.author_id, message.author_name) == (after.author_id, after.author_name)
    return is_same_author and timedelta(0) <= message.created_at - after.created_at <= window
