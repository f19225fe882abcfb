"""Members, rooms, messages, and what a body may be.

Plain values. This module does no I/O, knows no clock and no HTML.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime

from app.chat.characters import is_blank

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Control characters but tab and line feed, and halves of surrogate pairs: Unicode's categories Cc and Cs.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
EVERYBODY = "room"  # in the place of a member's id and name, where all of a room are meant
SLACK = 4  # times the limit that a text may be long before it is cleaned: a line break may come as two characters
BLANK_START = re.compile(r"\A(?:[^\S\n]*\n)+")  # lines with nothing but spaces


class Refused(Exception):
    """The request cannot be done, and the person can do something about it.

    `reason` is a short word for metrics and logs, `sentence` is shown to the person. `wait` is the number of seconds
    after which a retry makes sense; 0 if waiting does not help.
    """

    def __init__(self, reason: str, sentence: str, wait: float = 0) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Member:
    """A person with a name. `id` stays the same when they rename.

    `session` is the version of their session. Each renaming and sign-out raises it, which invalidates older cookies. It
    does not count when members are compared.
    """

    id: str
    name: str
    time_zone: str
    session: int = field(default=0, compare=False)

    def is_still(self, known: "Member | None") -> bool:
        """Whether `known` is this member, with this name and session."""
        return known == self and known.session == self.session


@dataclass(frozen=True, slots=True)
class Room:
    """A place to talk in; `slug` is its address."""

    id: int
    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A text that is not stored yet. `key` makes sending it twice harmless. It may be a reply to a message.

    A draft has an empty key if its page had none left. It cannot be stored then.
    """

    body: str
    key: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Reactor:
    """A member who reacted, with the name they had then, by the change at `position`."""

    id: str
    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Reaction:
    """An emoji under a message, and who put it there, the first one first. There is at least one."""

    emoji: str
    by: tuple[Reactor, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """What a reply shows of the message at `position`: its author, and its first line; of a deleted one, None."""

    position: int
    author_name: str
    line: str | None


@dataclass(frozen=True, slots=True)
class Mention:
    """Where `@` and `written` stand in a text, this member is meant, by the name they had then: or `EVERYBODY`."""

    member_id: str
    name: str
    written: str


@dataclass(frozen=True, slots=True)
class Message:
    """A stored text, as it is now. `author_name` is the name at the time of writing.

    `position` is the message's place in its room's log, from 1, and its id. Changes take positions, too, so those of
    messages need not be consecutive. `changed` is the position of its last change; 0 if there was none. Times are in
    UTC. A deleted message keeps its place, and has neither body, mentions nor reactions.
    """

    position: int
    author_id: str
    author_name: str
    body: str
    created_at: datetime
    changed: int = 0
    edited_at: datetime | None = None
    is_deleted: bool = False
    reactions: tuple[Reaction, ...] = ()
    reply: Quote | None = None
    mentions: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True)
class Cursor:
    """Says that a page is complete up to `position` in the log called `epoch`. Written `epoch:position`."""

    epoch: str
    position: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.position}"


def clean(body: str, longest: int) -> str:
    """Return `body` as it will be stored, or raise `Refused` ("blank" or "too-long").

    Line ends become "\\n", blank lines around the text go, and what no text contains (control characters,
    halves of surrogate pairs) is replaced by U+FFFD. `longest` counts characters (code points).
    """
    if len(body) > longest * SLACK:
        raise _too_long(len(body), longest)  # what it would come to is not worth finding out
    text = UNPRINTABLE.sub(REPLACEMENT, body.replace("\r\n", "\n").replace("\r", "\n"))
    text = BLANK_START.sub("", text).rstrip()
    if is_blank(text):
        raise Refused("blank", "Write something first.")
    if len(text) > longest:
        raise _too_long(len(text), longest)
    return text


def _too_long(length: int, longest: int) -> Refused:
    return Refused("too-long", f"This message is too long: {length:,} characters. The limit is {longest:,}.")
