"""Topics: what a position belongs to, and how positions are written into notifications and read from them.

Plain functions of strings. A notification carries topics and positions, and never a message.
"""

import re
from collections.abc import Iterator, Mapping

ROOMS = "rooms"  # the rooms that there are; its position is the id of the newest
NAMES = "names"  # renamed members; its position counts the renamings

LONGEST_NOTE = 7_999  # bytes: https://www.postgresql.org/docs/current/sql-notify.html

LOG_KIND, PRESENCE_KIND, TYPING_KIND = "room", "present", "typing"
# Ids and positions are as large as their columns: whatever is larger is none.
_TOPIC = rf"{ROOMS}|{NAMES}|({LOG_KIND}|{PRESENCE_KIND}):[0-9]{{1,9}}|{TYPING_KIND}:[0-9]{{1,9}}:[0-9a-z]{{1,32}}"
NOTE = re.compile(rf"(?P<topic>{_TOPIC}) (?P<position>[0-9]{{1,18}})")


def log_of(room_id: int) -> str:
    """Return the topic of a room's log, whose position is that of the newest message."""
    return f"{LOG_KIND}:{room_id}"


def presence_in(room_id: int) -> str:
    """Return the topic of a room's presence; its position counts the changes."""
    return f"{PRESENCE_KIND}:{room_id}"


def typing_in(room_id: int, member_id: str) -> str:
    """Return the topic of a member who types in a room; its position counts how often they did."""
    return f"{TYPING_KIND}:{room_id}:{member_id}"


def split(topic: str) -> tuple[str, int, str]:
    """Return the kind of a topic, its room's id and its member's; 0 and "" if it has none."""
    kind, _, rest = topic.partition(":")
    room_id, _, member_id = rest.partition(":")
    return kind, int(room_id or 0), member_id


def raise_to(positions: dict[str, int], topic: str, position: int) -> None:
    """Note in `positions` that a topic has come to `position`, unless it is known to have come further."""
    positions[topic] = max(position, positions.get(topic, 0))


def write(positions: Mapping[str, int], longest: int = LONGEST_NOTE) -> list[str]:
    """Return notes that say these `positions`, as few as possible, each of `longest` bytes at most."""
    notes: list[str] = []
    for topic, position in positions.items():
        note = f"{topic} {position}"
        if notes and len(notes[-1]) + 1 + len(note) <= longest:
            notes[-1] += f",{note}"
        else:
            notes.append(note)
    return notes


def read(note: str) -> tuple[dict[str, int], int]:
    """Return the positions in `note`, which anybody may have written, and how many of its parts are unreadable."""
    positions: dict[str, int] = {}
    unreadable = 0
    for found in _parts(note):
        if found:
            raise_to(positions, found["topic"], int(found["position"]))
        else:
            unreadable += 1
    return positions, unreadable


def _parts(note: str) -> Iterator[re.Match[str] | None]:
    return map(NOTE.fullmatch, note.split(","))
