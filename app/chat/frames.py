"""Parses a frame from the browser: text in, a value out.

`parse` never raises, whatever the text is. This module knows no socket and no room.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import msgspec

from app.chat.changes import Change, Delete, Edit, React, Unreact
from app.chat.messages import Cursor, Draft

# A key: one of ours, a UUID, base64. A quote would end the selector of a receipt.
KEY = re.compile(r"[A-Za-z0-9_.:~+/=-]{1,128}")
MOST_DRAFTS = 50  # in one frame: a page has keys for 20, and each costs a receipt for each place before it
LARGEST_POSITION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Resume:
    """Asks for what came after `cursor`; None asks for the newest page. `drafts` have no receipt yet.

    `since` is that of a `Recheck` without an answer. `left_out` counts the drafts beyond the limit of one frame; so in
    `Say`.
    """

    cursor: Cursor | None
    drafts: tuple[Draft, ...] = ()
    since: Cursor | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Say:
    """Asks to store `drafts`, in this order. Open drafts may still change and come again."""

    drafts: tuple[Draft, ...]
    is_open: bool = False
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Recheck:
    """Asks for what has changed `since` then of the messages that a page may hold."""

    since: Cursor


@dataclass(frozen=True, slots=True)
class ChangeMessage:
    """Asks to make a change of the message at `position`."""

    position: int
    change: Change


@dataclass(frozen=True, slots=True)
class StartReply:
    """Asks to make the draft that is being written a reply to the message at `position`."""

    position: int


@dataclass(frozen=True, slots=True)
class OpenEditor:
    """Asks for the text of the message at `position`, to edit it; None asks for one's last message."""

    position: int | None


@dataclass(frozen=True, slots=True)
class Typing:
    """Says that somebody types, and what stands in the draft now: blank if it was removed, None if that is not said."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not a frame. `reason` is a short word for metrics, `sentence` is shown to the sender."""

    reason: str
    sentence: str


Frame = Resume | Say | Recheck | ChangeMessage | StartReply | OpenEditor | Typing | Malformed


class Fields(msgspec.Struct):
    """The fields that a frame may have. The decoder skips all others."""

    cursor: str | msgspec.UnsetType = msgspec.UNSET
    message: str | list[str] = []
    key: str | list[str] = []
    reply: str | list[str] = []
    open: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    changes: str | list[str] = []
    pick: str = ""
    typing: str | msgspec.UnsetType = msgspec.UNSET
    editor: str | msgspec.UnsetType = msgspec.UNSET
    edit: str | msgspec.UnsetType = msgspec.UNSET
    delete: str | msgspec.UnsetType = msgspec.UNSET
    react: str | msgspec.UnsetType = msgspec.UNSET
    unreact: str | msgspec.UnsetType = msgspec.UNSET


DECODER = msgspec.json.Decoder(Fields)
WRONG_TYPE = Malformed(
    "wrong-type",
    "The server could not read this frame: it must be a JSON object with strings in its fields.",
)


UNKNOWN = Malformed("unknown", "The server could not read this frame: it has neither a message nor a cursor.")
BAD_CURSOR = Malformed("bad-cursor", "The server could not read this frame: a cursor must be epoch:position.")
BAD_PICK = Malformed("bad-pick", "The server could not read this frame: pick must be the position of a message.")
LAST = "last"  # one's own last message
CHANGES: dict[str, Callable[[str], Change]] = {
    "edit": Edit,
    "delete": lambda _: Delete(),
    "react": React,
    "unreact": Unreact,
}


def parse(text: str, largest: int) -> Frame:
    """Return what `text` says: a flat JSON object with `cursor`, or `message` and `key` (and `open`), or all three;
    or `changes`; or `typing`; or what is to be done with the message `pick`.

    `largest` limits the text's length in characters. Fields that are not known are ignored.
    """
    if len(text) > largest:
        return Malformed("frame-too-large", f"This frame is too large. The limit is {largest:,} characters.")
    # Not Python's own: it builds whatever stands there, for which 400,000 characters of brackets took it 41 ms.
    try:
        return _read(DECODER.decode(text))
    except msgspec.ValidationError:
        return WRONG_TYPE
    except (ValueError, RecursionError):
        return Malformed("not-json", "The server could not read this frame: it must be a JSON object.")


def _read(fields: Fields) -> Frame:
    since = _oldest([fields.changes] if isinstance(fields.changes, str) else fields.changes)
    if isinstance(since, Malformed):
        return since
    if since and fields.cursor is msgspec.UNSET:
        return Recheck(since)
    if fields.typing is not msgspec.UNSET:
        return _typing(fields.message)
    if fields.editor is not msgspec.UNSET:
        position = parse_position(fields.pick)
        return OpenEditor(position) if position or fields.editor == LAST else BAD_PICK
    if fields.pick and fields.reply and not fields.message:
        position = parse_position(fields.pick)
        return StartReply(position) if position else BAD_PICK
    return _change(fields) or _talk(fields, since)


def _typing(message: str | list[str]) -> Typing:
    texts = [message] if isinstance(message, str) else message
    return Typing(texts[-1] if texts else None)


def _talk(fields: Fields, since: Cursor | None) -> Frame:
    drafts = _drafts(fields.message, fields.key, fields.reply)
    left_out = 0 if isinstance(fields.message, str) else max(0, len(fields.message) - MOST_DRAFTS)
    if drafts is None:
        return Malformed("bad-message", "The server could not read this frame: each message needs a key.")
    if fields.cursor is msgspec.UNSET:
        return Say(drafts, is_open=fields.open is not msgspec.UNSET, left_out=left_out) if drafts else UNKNOWN
    if fields.cursor == "":
        return Resume(None, drafts, since, left_out)
    cursor = parse_cursor(fields.cursor)
    return Resume(cursor, drafts, since, left_out) if cursor else BAD_CURSOR


def _oldest(cursors: Sequence[str]) -> Cursor | Malformed | None:
    """Return the cursor from which on all of these are answered; None if there is none."""
    parsed = [parse_cursor(text) for text in cursors]
    if None in parsed:
        return BAD_CURSOR
    return min((cursor for cursor in parsed if cursor), key=lambda cursor: cursor.position, default=None)


def _change(fields: Fields) -> Frame | None:
    """Return the change that is asked for; None if none is."""
    values = {name: getattr(fields, name) for name in CHANGES}
    asked = {name: value for name, value in values.items() if value is not msgspec.UNSET}
    return read_change(asked, fields.pick) if asked else None


def read_change(asked: Mapping[str, str], pick: str) -> ChangeMessage | Malformed:
    """Return the change that one field among `asked` names, of the message `pick`.

    A reaction can name its message itself, before the emoji: `12 👍`.
    """
    if len(asked) != 1:
        return Malformed("bad-change", "The server could not read this frame: it must ask for one change.")
    [(name, value)] = asked.items()
    if name in ("react", "unreact"):
        of, _, value = value.rpartition(" ")
        pick = of or pick
    position = parse_position(pick)
    return ChangeMessage(position, CHANGES[name](value)) if position else BAD_PICK


def parse_position(text: str) -> int | None:
    """Return the position that `text` names, or None."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        return None
    return int(text) if 0 < int(text) <= LARGEST_POSITION else None


def parse_cursor(text: str) -> Cursor | None:
    """Return the cursor that `epoch:position` names, or None."""
    epoch, _, digits = text.rpartition(":")
    if not epoch or not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        return None
    return Cursor(epoch, int(digits)) if int(digits) <= LARGEST_POSITION else None


def _drafts(messages: str | list[str], keys: str | list[str], replies: str | list[str]) -> tuple[Draft, ...] | None:
    """Return the drafts: the n-th message has the n-th key, and is a reply to the n-th of `replies` ("": to none).

    A page sends all keys it holds, used or not.
    """
    messages, keys, replies = (
        [each] if isinstance(each, str) else each[:MOST_DRAFTS] for each in (messages, keys, replies)
    )
    if (messages and not keys) or not all(map(KEY.fullmatch, keys)):
        return None
    columns = zip_longest(messages, keys[: len(messages)], replies[: len(messages)], fillvalue="")
    return tuple(Draft(body, key, parse_position(reply)) for body, key, reply in columns)
