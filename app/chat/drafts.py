"""What the drafts in a composer come to: what of them was said before, and what is to be said now.

A page needs a moment to open a fresh draft after an Enter. What is typed in that moment lands in the draft that was
just sent, and belongs to the next message. Plain values. This module does no I/O.
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
LINGERING_SECONDS = 0.5  # several times what a page takes to open a fresh draft
MOST_NOTED = 10_000


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """Say `draft` (None: nothing), and the drafts with these `numbers`, counted from 1, are done."""

    numbers: tuple[int, ...]
    draft: Draft | None


class SentDrafts:
    """What was said of drafts while they were open, and what was refused: for a while, and of so many."""

    def __init__(self) -> None:
        # By author and key, the oldest first, each with its time.
        self._texts: dict[tuple[str, str], tuple[float, str]] = {}
        self._unreleased: dict[tuple[str, str], float] = {}  # when they were said; nobody else knows of them yet
        self._refusals: dict[tuple[str, str], tuple[float, int, str, str]] = {}

    def __len__(self) -> int:
        return len(self._texts) + len(self._refusals)

    def of(self, author: str, draft: Draft) -> str | None:
        """Return what `author` said of `draft` before."""
        noted = self._texts.get((author, draft.key))
        return noted[1] if noted else None

    def note(self, author: str, draft: Draft, now: float) -> None:
        """`author` says `draft`, as it is `now` (seconds)."""
        _keep(self._texts, (author, draft.key), (now, draft.body))
        _keep(self._unreleased, (author, draft.key), now)

    def release(self, author: str, draft: Draft) -> None:
        """The page lets go of `draft`: it will not come again."""
        self._unreleased.pop((author, draft.key), None)

    def lingering(self, now: float) -> list[tuple[str, Draft]]:
        """Return, once, what was said of drafts that no page let go of for a while: by whom, and the drafts."""
        keys = list(takewhile(lambda key: now - self._unreleased[key] >= LINGERING_SECONDS, self._unreleased))
        for key in keys:
            del self._unreleased[key]
        return [(key[0], Draft(self._texts[key][1], key[1])) for key in keys if key in self._texts]

    def refusal(self, author: str, draft: Draft) -> Refused | None:
        """Return why `draft`, just as it is, was refused before."""
        noted = self._refusals.get((author, draft.key))
        return Refused(noted[2], noted[3]) if noted and noted[1] == hash(draft) else None

    def note_refusal(self, author: str, draft: Draft, refusal: Refused, now: float) -> None:
        """`draft` is refused, as it is `now` (seconds)."""
        _keep(self._refusals, (author, draft.key), (now, hash(draft), refusal.reason, refusal.sentence))

    def sweep(self, now: float) -> None:
        """Forget what was so long ago that no draft waits for it."""
        self._texts = {key: noted for key, noted in self._texts.items() if now - noted[0] < NOTED_SECONDS}
        self._unreleased = {key: at for key, at in self._unreleased.items() if key in self._texts}
        self._refusals = {key: noted for key, noted in self._refusals.items() if now - noted[0] < NOTED_SECONDS}


def _keep(table: dict[Key, Noted], key: Key, noted: Noted) -> None:
    table.pop(key, None)
    table[key] = noted
    if len(table) > MOST_NOTED:
        del table[next(iter(table))]


def plan_messages(drafts: Sequence[Draft], said: Sequence[str | None], is_open: bool) -> list[PlannedMessage]:
    """Return what is to be said, where of each draft this was `said` before (None: it is new).

    What a draft has gained since then is put before the next new one; where there is none, it waits in its draft. But
    where the drafts are open, Enter was just pressed in the last one: what that has gained is a message.
    """
    planned = []
    waiting: list[int] = []
    carried = ""
    for number, (draft, before) in enumerate(zip(drafts, said, strict=True), start=1):
        gained = typed_since(before or "", draft.body)
        if before is None:
            planned.append(PlannedMessage((*waiting, number), Draft(carried + gained, draft.key)))
            waiting, carried = [], ""
        elif not gained:
            # What is blank was not said, and is refused as often as it comes.
            planned.append(PlannedMessage((number,), draft if is_blank(before) else None))
        elif is_open and number == len(drafts):
            # With a key of its own: the same text once more is another message.
            planned.append(PlannedMessage((number,), Draft(gained, f"{draft.key}+{len(before)}")))
        else:
            waiting.append(number)
            carried += gained
    return planned


def typed_since(before: str, now: str) -> str:
    """Return what was put in, at one place, to make `now` of `before`."""
    start = _shared(before, now)
    end = _shared(before[start:][::-1], now[start:][::-1])
    # Something was put in the place of something: a keyboard mended a word, which is no new text.
    return now[start : len(now) - end] if start + end == len(before) else ""


def _shared(one: str, other: str) -> int:
    """Return how many characters the beginnings of two texts share."""
    return sum(takewhile(bool, map(eq, one, other)))
