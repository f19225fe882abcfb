"""Which messages the drafts of a composer come to. docs/composer.md draws the states of a draft.

A page needs a moment to open a fresh draft after an Enter. What is typed in that moment lands in the draft that was
just sent, and belongs to the next message. Plain values, no I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import eq
from typing import TypeVar

from app.chat.characters import is_blank
from app.chat.messages import Draft, Refused

Key = TypeVar("Key")
Noted = TypeVar("Noted")

NOTED_SECONDS = 86_400.0  # for which a draft may wait for the next message, or its page for a connection
LINGERING_SECONDS = 0.5  # several times the time that a page needs to open a fresh draft
MOST_NOTED = 10_000


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """Store `draft` (None: nothing); then the drafts with these `numbers`, counted from 1, are done."""

    numbers: tuple[int, ...]
    draft: Draft | None


class SentDrafts:
    """Remembers the text that was sent of each open draft, and why a draft was refused: bounded in time and number."""

    def __init__(self) -> None:
        # By author and key, the oldest first, each with its time.
        self._texts: dict[tuple[str, str], tuple[float, str]] = {}
        self._unreleased: dict[tuple[str, str], float] = {}  # when they were sent; not shared with other processes yet
        self._refusals: dict[tuple[str, str], tuple[float, int, str, str]] = {}

    def __len__(self) -> int:
        return len(self._texts) + len(self._refusals)

    def sent_text(self, author: str, draft: Draft) -> str | None:
        """Return the text that `author` sent of `draft` before; None if none."""
        noted = self._texts.get((author, draft.key))
        return noted[1] if noted else None

    def note_sent(self, author: str, draft: Draft, now: float) -> None:
        """Remember `draft` as `author` sent it at `now` (seconds)."""
        _keep(self._texts, (author, draft.key), (now, draft.body))
        _keep(self._unreleased, (author, draft.key), now)

    def release(self, author: str, draft: Draft) -> None:
        """Forget that `draft` may linger: its page releases it."""
        self._unreleased.pop((author, draft.key), None)

    def lingering(self, now: float) -> list[tuple[str, Draft]]:
        """Return, once each, the drafts that no page released for a while, with their authors."""
        keys = list(takewhile(lambda key: now - self._unreleased[key] >= LINGERING_SECONDS, self._unreleased))
        for key in keys:
            del self._unreleased[key]
        return [(key[0], Draft(self._texts[key][1], key[1])) for key in keys if key in self._texts]

    def refusal(self, author: str, draft: Draft) -> Refused | None:
        """Return why `draft`, with the same text, was refused before; None if it was not."""
        noted = self._refusals.get((author, draft.key))
        return Refused(noted[2], noted[3]) if noted and noted[1] == hash(draft) else None

    def note_refusal(self, author: str, draft: Draft, refusal: Refused, now: float) -> None:
        """Remember that `draft` was refused at `now` (seconds), as it is."""
        _keep(self._refusals, (author, draft.key), (now, hash(draft), refusal.reason, refusal.sentence))

    def sweep(self, now: float) -> None:
        """Forget what is older than a day."""
        self._texts = {key: noted for key, noted in self._texts.items() if now - noted[0] < NOTED_SECONDS}
        self._unreleased = {key: at for key, at in self._unreleased.items() if key in self._texts}
        self._refusals = {key: noted for key, noted in self._refusals.items() if now - noted[0] < NOTED_SECONDS}


def _keep(table: dict[Key, Noted], key: Key, noted: Noted) -> None:
    table.pop(key, None)
    table[key] = noted
    if len(table) > MOST_NOTED:
        del table[next(iter(table))]


def plan_messages(drafts: Sequence[Draft], sent: Sequence[str | None], is_open: bool) -> list[PlannedMessage]:
    """Return the messages to store, where this was `sent` of each draft before (None: it is new).

    The text that a draft gained since goes in front of the next new draft; if there is none, the draft is carried. If
    the drafts are open, Enter was just pressed in the last one: what that gained is a message of its own.
    """
    planned = []
    carried_numbers: list[int] = []
    carried = ""
    for number, (draft, before) in enumerate(zip(drafts, sent, strict=True), start=1):
        gained = typed_since(before or "", draft.body)
        if before is None:
            message = Draft(carried + gained, draft.key, draft.reply_to)
            planned.append(PlannedMessage((*carried_numbers, number), message))
            carried_numbers, carried = [], ""
        elif not gained:
            # A blank draft was not stored, and is refused each time.
            planned.append(PlannedMessage((number,), draft if is_blank(before) else None))
        elif is_open and number == len(drafts):
            # With a key of its own: the same text once more is another message.
            planned.append(PlannedMessage((number,), Draft(gained, f"{draft.key}+{len(before)}", draft.reply_to)))
        else:
            carried_numbers.append(number)
            carried += gained
    return planned


def typed_since(before: str, now: str) -> str:
    """Return the text that was inserted, at one place, to turn `before` into `now`."""
    start = _shared(before, now)
    end = _shared(before[start:][::-1], now[start:][::-1])
    # Something was put in the place of something: a keyboard mended a word, which is no new text.
    return now[start : len(now) - end] if start + end == len(before) else ""


def _shared(one: str, other: str) -> int:
    """Return how many characters the beginnings of two texts share."""
    return sum(takewhile(bool, map(eq, one, other)))
