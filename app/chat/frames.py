"""Parses a frame from the browser: text in, a value out.

`parse` never raises, whatever the text is. This module knows no socket and no room.
"""

import re
from dataclasses import dataclass
from itertools import zip_longest

import msgspec

from app.chat.messages import Cursor, Draft

# A key: one of ours, a UUID, base64. A quote would end the selector of a receipt.
KEY = re.compile(r"[A-Za-z0-9_.:~+/=-]{1,128}")
MOST_DRAFTS = 50  # in one frame: a page has keys for 20, and each costs a receipt for each place before it
LARGEST_POSITION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Resume:
    """Asks for what came after `cursor`; None asks for the newest page. `drafts` have no receipt yet.

    `left_out` counts the drafts beyond the limit of one frame; so in `Say`.
    """

    cursor: Cursor | None
    drafts: tuple[Draft, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Say:
    """Asks to store `drafts`, in this order. Open drafts may still change and come again."""

    drafts: tuple[Draft, ...]
    is_open: bool = False
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not a frame. `reason` is a short word for metrics, `sentence` is shown to the sender."""

    reason: str
    sentence: str


Frame = Resume | Say | Malformed


class Fields(msgspec.Struct):
    """The fields that a frame may have. The decoder skips all others."""

    cursor: str | msgspec.UnsetType = msgspec.UNSET
    message: str | list[str] = []
    key: str | list[str] = []
    open: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


DECODER = msgspec.json.Decoder(Fields)
WRONG_TYPE = Malformed(
    "wrong-type",
    "The server could not read this frame: it must be a JSON object with strings for cursor, message and key.",
)


def parse(text: str, largest: int) -> Frame:
    """Return what `text` says: a flat JSON object with `cursor`, or `message` and `key` (and `open`), or all three.

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
    drafts = _drafts(fields.message, fields.key)
    left_out = 0 if isinstance(fields.message, str) else max(0, len(fields.message) - MOST_DRAFTS)
    if drafts is None:
        return Malformed("bad-message", "The server could not read this frame: each message needs a key.")
    if fields.cursor is msgspec.UNSET:
        if not drafts:
            return Malformed("unknown", "The server could not read this frame: it has neither a message nor a cursor.")
        return Say(drafts, is_open=fields.open is not msgspec.UNSET, left_out=left_out)
    if fields.cursor == "":
        return Resume(None, drafts, left_out)
    cursor = parse_cursor(fields.cursor)
    return (
        Resume(cursor, drafts, left_out)
        if cursor
        else Malformed("bad-cursor", "The server could not read this frame: a cursor must be epoch:position.")
    )


def parse_cursor(text: str) -> Cursor | None:
    """Return the cursor that `epoch:position` names, or None."""
    epoch, _, digits = text.rpartition(":")
    if not epoch or not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        return None
    return Cursor(epoch, int(digits)) if int(digits) <= LARGEST_POSITION else None


def _drafts(messages: str | list[str], keys: str | list[str]) -> tuple[Draft, ...] | None:
    """Return the drafts: the n-th message has the n-th key. A page sends all keys it holds, used or not."""
    messages = [messages] if isinstance(messages, str) else messages[:MOST_DRAFTS]
    keys = [keys] if isinstance(keys, str) else keys[:MOST_DRAFTS]
    if (messages and not keys) or not all(map(KEY.fullmatch, keys)):
        return None
    return tuple(Draft(body, key) for body, key in zip_longest(messages, keys[: len(messages)], fillvalue=""))
