"""What is in the log, read from the database file itself, and whether everybody was shown just that."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from app.settings import SQLITE_FILE
from tests.guarantees.crowd import Guest


def read(data: Path, room: str = "lobby") -> dict[int, str]:
    """Return the texts of a room by position, from the data folder of a server."""
    query = (
        "SELECT position, body FROM messages WHERE room_id = (SELECT id FROM rooms WHERE slug = ?) ORDER BY position"
    )
    with closing(sqlite3.connect(data / SQLITE_FILE)) as database:
        return dict(database.execute(query, (room,)))


def flaws(log: dict[int, str], guests: Iterable[Guest]) -> list[str]:
    """Return what is wrong with a log to which `guests` said texts that differ: doubled, lost or beyond a gap."""
    found = [] if list(log) == list(range(1, len(log) + 1)) else ["the positions have gaps"]
    found += [f"stored {times} times: {text}" for text, times in Counter(log.values()).items() if times > 1]
    texts = set(log.values())
    return found + [f"has a receipt and is lost: {text}" for text in receipts(guests) if text not in texts]


def receipts(guests: Iterable[Guest]) -> list[str]:
    """Return the texts for which `guests` have a receipt."""
    return [guest.said[key] for guest in guests for key in guest.receipts]


def differences(log: dict[int, str], guests: Iterable[Guest]) -> list[str]:
    """Return what is wrong with the pages of `guests`, who were there from the first message and should show all."""
    found = []
    for number, guest in enumerate(guests):
        found += [f"guest {number} was shown {what}" for what in guest.wrong]
        lost = log.items() - guest.shown.items()
        alien = guest.shown.items() - log.items()
        found += [f"guest {number} was not shown message {position}" for position, _ in sorted(lost)]
        found += [f"guest {number} was shown a message {position} that is not stored" for position, _ in sorted(alien)]
        if guest.gaps:
            found.append(f"guest {number} has {guest.gaps} gaps")
    return found
