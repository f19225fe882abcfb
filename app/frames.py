"""What a browser may say over its socket: text in, a value out.

`parse` never raises, whatever the text is. This module knows no socket and no room.
"""

import json
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from app.messages import Cursor, Draft

# What a key may look like: ours, a UUID, base64. A quote would end the selector by which a receipt finds it.
KEY = re.compile(r"[A-Za-z0-9_.:~+/=-]{1,128}")
MOST_DRAFTS = 50  # in one frame: a page has keys for 20, and each costs a receipt for each place before it
LARGEST_POSITION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Resume:
    """Send me what came after `cursor`; None asks for the newest page. `drafts` still wait for their receipt."""

    cursor: Cursor | None
    drafts: tuple[Draft, ...] = ()


@dataclass(frozen=True, slots=True)
class Say:
    """Say these, in this order. While they are open, more may be typed into them: they come again."""

    drafts: tuple[Draft, ...]
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not a frame. `reason` is a short word for metrics, `sentence` is for the one who sent it."""

    reason: str
    sentence: str


Frame = Resume | Say | Malformed


def parse(text: str, largest: int) -> Frame:
    """Return what `text` says: a flat JSON object with `cursor`, or `message` and `key` (and `open`), or all three.

    `largest` limits the text's length in characters. Fields that are not known are ignored.
    """
    if len(text) > largest:
        return Malformed("frame-too-large", f"That is too much at once: {largest:,} characters are the limit.")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return Malformed("not-json", "That could not be read: a frame is a JSON object.")
    if not isinstance(fields, dict):
        return Malformed("not-an-object", "That could not be read: a frame is a JSON object.")
    return _read(fields)


def _read(fields: dict[str, Any]) -> Frame:
    drafts = _drafts(fields.get("message", []), fields.get("key", []))
    if drafts is None:
        return Malformed("bad-message", "That could not be read: message and key are texts, or lists of texts.")
    if "cursor" not in fields:
        if not drafts:
            return Malformed("unknown", "That could not be read: neither a message nor a cursor.")
        return Say(drafts, is_open="open" in fields)
    if fields["cursor"] == "":
        return Resume(None, drafts)
    cursor = parse_cursor(fields["cursor"])
    return (
        Resume(cursor, drafts)
        if cursor
        else Malformed("bad-cursor", "That could not be read: a cursor is epoch:position.")
    )


def parse_cursor(text: object) -> Cursor | None:
    """Return the cursor that `epoch:position` names, or None."""
    if not isinstance(text, str):
        return None
    epoch, _, digits = text.rpartition(":")
    if not epoch or not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        return None
    return Cursor(epoch, int(digits)) if int(digits) <= LARGEST_POSITION else None


def _drafts(messages: object, keys: object) -> tuple[Draft, ...] | None:
    """Return the drafts: the n-th message has the n-th key. A page sends all keys it holds, used or not."""
    messages = messages if isinstance(messages, list) else [messages]
    keys = keys if isinstance(keys, list) else [keys]
    messages, keys = messages[:MOST_DRAFTS], keys[:MOST_DRAFTS]
    if messages and not keys:
        return None
    if not all(isinstance(body, str) for body in messages) or not all(map(_is_key, keys)):
        return None
    return tuple(Draft(body, key) for body, key in zip_longest(messages, keys[: len(messages)], fillvalue=""))


def _is_key(key: object) -> bool:
    return isinstance(key, str) and KEY.fullmatch(key) is not None
