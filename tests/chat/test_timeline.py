"""How a message sits after the one before it."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.messages import Member, Message
from app.chat.timeline import Entry, arrange, place, portion
from tests.cast import ANN, BOB, START, message

WINDOW = timedelta(minutes=5)
UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
RENAMED = Member(ANN.id, "Anna", ANN.time_zone)

zones = st.sampled_from(
    [
        UTC_ZONE,
        BERLIN,
        ZoneInfo("America/New_York"),
        ZoneInfo("Australia/Lord_Howe"),  # half an hour of daylight saving
        ZoneInfo("America/Sao_Paulo"),  # in some years, midnight did not exist
        ZoneInfo("Pacific/Apia"),  # 30 December 2011 did not exist
        ZoneInfo("Asia/Kathmandu"),
    ]
)
windows = st.timedeltas(timedelta(0), timedelta(days=2))
# Near each other, around changes of daylight saving and of the date, in any order: clocks are set back, too.
moments = st.builds(
    lambda start, minutes: start + timedelta(minutes=minutes),
    st.sampled_from(
        [
            START,
            datetime(2026, 10, 25, 1, 0, tzinfo=UTC),
            datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
            datetime(2011, 12, 30, 10, 0, tzinfo=UTC),
        ]
    ),
    st.one_of(st.floats(-10, 10), st.integers(-2000, 2000)),
)


@st.composite
def logs(draw: st.DrawFn) -> list[Message]:
    said = draw(st.lists(st.tuples(st.sampled_from([ANN, BOB, RENAMED]), moments), max_size=12))
    return [
        Message(position, author.id, author.name, "hello", moment)
        for position, (author, moment) in enumerate(said, start=1)
    ]


@given(logs(), zones, windows)
def test_arranging_all_is_placing_one_by_one(log: list[Message], zone: ZoneInfo, window: timedelta) -> None:
    one_by_one = []
    after = None
    for said in log:
        one_by_one.append(place(said, after, zone, window))
        after = said
    assert arrange(log, None, zone, window) == one_by_one


@given(logs(), zones, windows, st.data())
def test_two_pages_joined_anywhere_are_the_whole(
    log: list[Message], zone: ZoneInfo, window: timedelta, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(log)))
    first, second = log[:cut], log[cut:]
    joined = arrange(first, None, zone, window) + arrange(second, first[-1] if first else None, zone, window)
    assert joined == arrange(log, None, zone, window)


@given(logs(), zones, windows)
def test_a_group_has_one_author_one_name_one_day_and_no_long_pause(
    log: list[Message], zone: ZoneInfo, window: timedelta
) -> None:
    for before, entry in pairwise(arrange(log, None, zone, window)):
        one, other = before.message, entry.message
        belongs = (
            one.author_id == other.author_id
            and one.author_name == other.author_name
            and _day(one, zone) == _day(other, zone)
            and one.created_at <= other.created_at <= one.created_at + window
        )
        assert entry.continues == belongs


@given(logs(), zones, windows)
def test_a_day_is_named_once_where_it_starts(log: list[Message], zone: ZoneInfo, window: timedelta) -> None:
    entries = arrange(log, None, zone, window)
    assert [entry.message for entry in entries] == log
    shown: date | None = None
    for entry in entries:
        if entry.day:
            assert not entry.continues
            assert entry.day != shown
            shown = entry.day
        assert shown == _day(entry.message, zone)


def _day(said: Message, zone: ZoneInfo) -> date:
    return said.created_at.astimezone(zone).date()


def continues(*log: Message, zone: ZoneInfo = UTC_ZONE, window: timedelta = WINDOW) -> list[bool]:
    return [entry.continues for entry in arrange(log, None, zone, window)]


def test_a_log_begins_with_a_day_and_a_name() -> None:
    first = message(1)
    assert arrange([first], None, UTC_ZONE, WINDOW) == [Entry(first, continues=False, day=date(2026, 11, 23))]


def test_nothing_arranged_is_nothing() -> None:
    assert arrange([], message(1), UTC_ZONE, WINDOW) == []


def test_consecutive_messages_form_a_group() -> None:
    assert continues(message(1), message(2, minutes=1), message(3, minutes=2)) == [False, True, True]


def test_somebody_else_in_between_starts_anew() -> None:
    assert continues(message(1), message(2, author=BOB), message(3)) == [False, False, False]


def test_a_new_name_starts_anew() -> None:
    assert continues(message(1), message(2, author=RENAMED), message(3, author=RENAMED)) == [False, False, True]


def test_the_longest_pause_still_continues() -> None:
    assert continues(message(1), message(2, minutes=5)) == [False, True]
    assert continues(message(1), message(2, minutes=5.001)) == [False, False]


def test_the_pause_is_counted_from_the_message_before_and_not_from_the_first() -> None:
    assert continues(message(1), message(2, minutes=4), message(3, minutes=8)) == [False, True, True]


def test_without_a_window_only_the_same_moment_continues() -> None:
    at_once = (message(1), message(2), message(3, minutes=0.001))
    assert continues(*at_once, window=timedelta(0)) == [False, True, False]


@pytest.mark.breaks("app/chat/timeline.py", "timedelta(0) <= message", "message")
def test_a_clock_that_was_set_back_starts_anew_and_then_goes_on() -> None:
    log = (message(1, minutes=60), message(2, minutes=59.999), message(3, minutes=60), message(4))
    assert continues(*log) == [False, False, True, False]


def test_a_clock_that_was_set_forward_and_back_tells_its_days_and_keeps_the_order() -> None:
    day = 24 * 60
    entries = arrange([message(1), message(2, minutes=day), message(3, minutes=1)], None, UTC_ZONE, WINDOW)
    assert [entry.message.position for entry in entries] == [1, 2, 3]
    assert [entry.day for entry in entries] == [date(2026, 11, 23), date(2026, 11, 24), date(2026, 11, 23)]


def test_a_clock_that_was_set_back_over_midnight_names_the_day_again() -> None:
    days = [
        entry.day
        for entry in arrange(
            [message(1, minutes=600), message(2, minutes=590), message(3, minutes=600)], None, UTC_ZONE, WINDOW
        )
    ]
    assert days == [date(2026, 11, 24), date(2026, 11, 23), date(2026, 11, 24)]


def test_midnight_is_where_the_viewer_is() -> None:
    # 22:57 and 23:01 in UTC: midnight in Berlin lies between.
    late, later = message(1, minutes=8 * 60 + 52), message(2, minutes=8 * 60 + 56)
    assert [entry.day for entry in arrange([late, later], None, UTC_ZONE, WINDOW)] == [date(2026, 11, 23), None]
    assert [entry.day for entry in arrange([late, later], None, BERLIN, WINDOW)] == [
        date(2026, 11, 23),
        date(2026, 11, 24),
    ]
    assert continues(late, later) == [False, True]
    assert continues(late, later, zone=BERLIN) == [False, False]


def test_the_hour_that_comes_twice_does_not_glue_its_two_halves_together() -> None:
    # On 25 October 2026, 02:30 in Berlin is 00:30 in UTC, and again 01:30.
    first = Message(1, ANN.id, ANN.name, "hello", datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    second = Message(2, ANN.id, ANN.name, "hello", datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    assert continues(first, second, zone=BERLIN) == [False, False]


@given(st.lists(st.integers(0, 30)), st.integers(0, 100))
def test_a_portion_is_as_much_as_fits_and_at_least_one(lengths: list[int], most: int) -> None:
    said = [message(position, body="x" * length) for position, length in enumerate(lengths, start=1)]
    count = portion(said, most)
    assert count == len(said) == 0 or count == 1 or sum(lengths[:count]) <= most
    assert count == len(said) or (count and sum(lengths[: count + 1]) > most)
