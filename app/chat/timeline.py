"""Grouping: a message continues the one before it, or starts a group, or a day.

Plain functions of messages. This module knows no clock, no HTML and no room.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo

from app.chat.messages import Message


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as it sits in the timeline.

    `continues`: it belongs to the message before it and repeats neither name nor avatar.
    `day`: the date that starts with this message, for a separator; None within a day.
    """

    message: Message
    continues: bool
    day: date | None


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Consecutive messages of a room: `entries`, oldest first.

    It is complete up to `position`. More can be loaded before the position `older`; None at the beginning of the log.
    Pages compare by identity, so that a cache looks one up without comparing entries.
    """

    entries: Sequence[Entry]
    position: int
    older: int | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that a page does not show yet: those at positions `after` < p < `before`."""

    after: int
    before: int

    @property
    def size(self) -> int:
        """How many messages that is."""
        return self.before - self.after - 1


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
