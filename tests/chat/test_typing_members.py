"""Who is typing, and for how long."""

import pytest

from app.chat.messages import Member
from app.chat.typing_members import MOST_NOTED, Typing
from tests.cast import ANN, BOB


@pytest.mark.breaks("app/chat/typing_members.py", "now - noted[0] < SHOWN_SECONDS", "True")
def test_each_is_shown_for_a_few_seconds() -> None:
    typing = Typing()
    typing.note(ANN, 0)
    typing.note(BOB, 4.5)
    assert typing.show(5) == [(ANN, 5), (BOB, 0)]
    assert typing.show(6) == [(BOB, 1)]


@pytest.mark.breaks("app/chat/typing_members.py", "now - at < NEWS_SECONDS or", "False or")
def test_repeated_typing_is_no_news() -> None:
    typing = Typing()
    assert [typing.note(ANN, now) for now in (0, 1, 3, 4)] == [True, False, True, False]


def test_a_member_who_stops_typing_is_not_shown() -> None:
    typing = Typing()
    typing.note(ANN, 0)
    typing.show(0)
    changed = []
    for member in (BOB, ANN):
        typing.stop(member.id)
        changed.append(typing.changed)
    assert changed == [False, True]
    assert typing.show(0) == []


@pytest.mark.breaks("app/chat/typing_members.py", "len(self._typed) >= MOST_NOTED", "False")
def test_a_crowd_takes_bounded_memory() -> None:
    typing = Typing()
    for number in range(2 * MOST_NOTED):
        typing.note(Member(f"{number}", f"member {number}", "UTC"), 0)
    assert len(typing.show(0)) == MOST_NOTED
