"""What one can do with a message that was said."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.changes import MOST_KINDS, Act, Change, Delete, Edit, React, Unreact, apply, check_editable
from app.chat.messages import Member, Message, Reaction, Reactor, Refused
from app.chat.timeline import Changes, split
from tests.cast import ANN, BOB, START, message

EMOJI = "👍🎉🚀"
CHANGES = st.one_of(
    st.sampled_from(["edited", "again"]).map(Edit),
    st.just(Delete()),
    st.sampled_from(EMOJI).map(React),
    st.sampled_from(EMOJI).map(Unreact),
)


def act(change: Change, member: Member = ANN, position: int = 2, minutes: float = 1) -> Act:
    return Act(member, change, START + timedelta(minutes=minutes), position)


def refusal(change: Change, of: Message, member: Member = ANN, window: timedelta | None = None) -> str:
    with pytest.raises(Refused) as refused:
        apply(act(change, member), of, window)
    return refused.value.reason


def test_an_edit_gives_a_message_another_text() -> None:
    edited = apply(act(Edit("good bye")), message(1), None)
    assert (edited.body, edited.edited_at, edited.changed) == ("good bye", START + timedelta(minutes=1), 2)
    assert (edited.position, edited.created_at) == (1, START)


@pytest.mark.breaks("app/chat/changes.py", 'body="", edited_at=None, is_deleted=True, reactions=()', "is_deleted=True")
def test_a_deleted_message_keeps_its_place_and_nothing_else() -> None:
    said = apply(act(React("👍"), BOB), apply(act(Edit("good bye")), message(1), None), None)
    deleted = apply(act(Delete(), position=4), said, None)
    assert deleted == Message(1, ANN.id, ANN.name, "", START, changed=4, is_deleted=True)


@pytest.mark.breaks("app/chat/changes.py", "key=lambda reaction: reaction.by[0].position", "key=lambda _: 0")
def test_reactions_are_in_the_order_in_which_they_came() -> None:
    said = message(1)
    for position, (member, emoji) in enumerate([(ANN, "👍"), (BOB, "🎉"), (BOB, "👍")], start=2):
        said = apply(act(React(emoji), member, position), said, None)
    ann, bob = Reactor(ANN.id, "Ann", 2), Reactor(BOB.id, "Bob", 4)
    assert said.reactions == (Reaction("👍", (ann, bob)), Reaction("🎉", (Reactor(BOB.id, "Bob", 3),)))
    # The first one takes theirs back: what is left is as if they had never been there.
    said = apply(act(Unreact("👍"), ANN, 5), said, None)
    assert [reaction.emoji for reaction in said.reactions] == ["🎉", "👍"]


@pytest.mark.breaks("app/chat/changes.py", "if message.author_id != member.id:", "if False:")
@pytest.mark.parametrize("change", [Edit("mine"), Delete()])
def test_only_the_author_edits_and_deletes(change: Change) -> None:
    assert refusal(change, message(1), BOB) == "not-yours"


@pytest.mark.breaks("app/chat/changes.py", "if message.is_deleted:\n        raise", "if False:\n        raise")
@pytest.mark.parametrize("change", [Edit("back"), React("👍")])
def test_a_deleted_message_takes_nothing_more(change: Change) -> None:
    assert refusal(change, apply(act(Delete()), message(1), None)) == "deleted"


@pytest.mark.breaks("app/chat/changes.py", "at - message.created_at > window", "False")
def test_a_message_can_be_edited_for_as_long_as_the_setting_says() -> None:
    assert refusal(Edit("late"), message(1), window=timedelta(seconds=59)) == "too-late"
    check_editable(message(1), ANN, START + timedelta(minutes=1), timedelta(minutes=1))


@pytest.mark.breaks("app/chat/changes.py", "len(by) >= MOST_KINDS", "False")
def test_a_message_takes_so_many_different_reactions() -> None:
    said = message(1)
    for number in range(MOST_KINDS):
        said = apply(act(React(f"{number}"), position=number + 2), said, None)
    assert refusal(React("one more"), said) == "too-many-reactions"
    assert len(apply(act(React("0"), BOB, 99), said, None).reactions) == MOST_KINDS


@pytest.mark.breaks("app/chat/changes.py", "if edit.body == message.body", "if False")
@given(st.lists(st.tuples(st.sampled_from([ANN, BOB]), CHANGES), max_size=12))
def test_repeating_a_change_has_no_effect(acts: list[tuple[Member, Change]]) -> None:
    said = message(1)
    for position, (member, change) in enumerate(acts, start=2):
        try:
            said = apply(act(change, member, position), said, None)
        except Refused:
            continue
        assert said.changed in (0, *range(2, position + 1))
        if not isinstance(change, Edit) or not said.is_deleted:
            assert apply(act(change, member, 99), said, None) is said
        everybody = [(reaction.emoji, by.id) for reaction in said.reactions for by in reaction.by]
        assert len(everybody) == len(set(everybody))


@pytest.mark.breaks("app/chat/timeline.py", "yield Changes(after, after, (), changed[:count])", "pass")
@given(st.lists(st.integers(0, 30), max_size=12), st.lists(st.integers(0, 30), max_size=12), st.integers(1, 5))
def test_the_parts_of_changes_are_all_of_them(new: list[int], changed: list[int], most: int) -> None:
    older = [message(position, "x" * length) for position, length in enumerate(changed, start=1)]
    said = [message(position, "x" * length) for position, length in enumerate(new, start=len(older) + 1)]
    changes = Changes(len(older), len(older) + len(said) + 7, said, older)
    parts = list(split(changes, most, 40))
    assert [each for part in parts for each in part.changed] == older
    assert [each for part in parts for each in part.new] == said
    assert parts[-1].upto == changes.upto
    for part in parts:
        assert len(part.new) <= most
        assert len(part.changed) <= most
        assert len(part.new) <= 1 or sum(len(each.body) for each in part.new) <= 40
        # The cursor of a part with new messages counts them in, and all that changed came before or with it.
        assert part is parts[-1] or not part.new or part.upto == part.new[-1].position
        assert part.new or part is parts[-1] or part.upto == changes.after
