"""What processes tell each other of: short words, and positions that only grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store import topics

POSITIONS = st.dictionaries(
    st.one_of(
        st.sampled_from([topics.ROOMS, topics.NAMES]),
        st.integers(1, 10**9 - 1).map(topics.log_of),
        st.integers(1, 10**9 - 1).map(topics.presence_in),
    ),
    st.integers(0, 10**18 - 1),
    max_size=50,
)


@given(POSITIONS, st.integers(60, 500))
def test_written_notes_are_short_and_read_back(positions: dict[str, int], longest: int) -> None:
    notes = topics.write(positions, longest)
    assert all(0 < len(note.encode()) <= longest for note in notes)
    found: dict[str, int] = {}
    for note in notes:
        said, unreadable = topics.read(note)
        found |= said
        assert unreadable == 0
    assert found == positions


def test_a_note_is_no_longer_than_postgresql_takes() -> None:
    notes = topics.write({topics.log_of(10**9 - n): 10**18 - 1 for n in range(1, 1001)})
    assert len(notes) == 5
    assert all(len(note) < 8000 for note in notes)


@pytest.mark.breaks(
    "app/store/topics.py", "positions[topic] = max(position, positions.get(topic, 0))", "positions[topic] = position"
)
@given(st.lists(st.integers(0, 9)))
def test_the_highest_position_of_a_topic_wins(heard: list[int]) -> None:
    positions: dict[str, int] = {}
    for position in heard:
        topics.raise_to(positions, "rooms", position)
    assert positions == ({"rooms": max(heard)} if heard else {})
    assert topics.read(",".join(f"rooms {position}" for position in heard))[0] == positions


@pytest.mark.parametrize(
    "note",
    (
        *("", "hello", "room:1", "room: 1", "room:1 -1", "room:x 1", "rooms:1 1", "room:1  1", "room:\u0661 1"),
        *("room:1 1\n", "room:1 9999999999999999999", "room:9999999999 1", "log:1 1", "NAMES 1", "names 1;"),
    ),
)
def test_unknown_notes_are_ignored(note: str) -> None:
    assert topics.read(note) == ({}, 1)
    assert topics.read(f"rooms 4,{note},room:2 5") == ({"rooms": 4, "room:2": 5}, 1)


@given(st.text())
def test_any_written_note_can_be_read(note: str) -> None:
    positions, unreadable = topics.read(note)
    assert len(positions) + unreadable <= note.count(",") + 1
    assert all(topics.split(topic)[1] >= 0 for topic in positions)


def test_a_topic_names_its_kind_and_room() -> None:
    assert topics.split(topics.log_of(7)) == (topics.LOG_KIND, 7, "")
    assert topics.split(topics.presence_in(8)) == (topics.PRESENCE_KIND, 8, "")
    assert topics.split(topics.NAMES) == (topics.NAMES, 0, "")
