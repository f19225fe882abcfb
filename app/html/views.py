"""What fragments are made from, where that is more than a value of the chat. Plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from app.chat.messages import Cursor, Member, Message, Refused, Room
from app.chat.timeline import Gap, Page


class Place(NamedTuple):
    """Where a draft stood in its frame, from 1, and the key it had."""

    number: int
    key: str


@dataclass(frozen=True)
class Result:
    """A message that was found, and what is shown of its text: pieces, each with whether it is a hit."""

    room: Room
    message: Message
    pieces: Sequence[tuple[str, bool]]


@dataclass(frozen=True)
class Results:
    """What a search found; `older` is the entry before which there is more, and `notice` says what was wrong."""

    found: Sequence[Result] = ()
    older: int | None = None
    notice: str = ""


@dataclass(frozen=True)
class SearchView:
    """The contents of the search page."""

    query: str
    is_ranked: bool  # the best results first, and not the newest
    results: Results
    zone: str
    nonce: str


@dataclass(frozen=True, kw_only=True)
class RoomView:
    """The contents of a room's page, and its viewer."""

    room: Room
    rooms: Sequence[Room]
    members: Sequence[Member]  # present in the room
    member: Member | None  # the viewer; None without a name
    page: Page
    cursor: Cursor
    zone: str
    keys: Sequence[str]  # for the next drafts
    nonce: str
    is_newest: bool = True  # false for a page of history
    newer: Gap | None = None  # what comes after such a page
    about: Message | None = None  # the message that a permalink leads to
    versions: Sequence[tuple[str, datetime]] = ()  # earlier texts of it, for its author; until when each was there
    refusal: Refused | None = None  # of the form with the values `entered`
    entered: dict[str, str] = field(default_factory=dict)
    notice: str = ""  # another sentence for the viewer
    enter: str = ""  # what Enter does: "send", "line" (a line break), or "" for the device's default
