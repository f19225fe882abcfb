"""The log, as every engine has to keep it. What is an engine's own is in `test_sqlite.py` and `test_postgres.py`."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import NoResultFound
from structlog.testing import capture_logs

from app.chat.messages import Member, Refused, Room
from app.chat.timeline import Changes
from app.store import writer
from app.store.errors import StoreUnavailable
from app.store.room_queries import close_room, erase_messages, erase_room
from app.store.store import LOBBY, Store
from app.store.writer import LARGEST_BATCH, Append, Stored
from tests.conftest import Clock
from tests.logs import HELD_DAYS, Opener, bodies, locked, until


async def refused(attempt: Coroutine[Any, Any, object]) -> str:
    with pytest.raises(Refused) as refusal:
        await attempt
    return refusal.value.reason


# Positions


async def test_positions_count_from_one_in_the_order_of_saying(
    log: Store, ann: Member, bob: Member, lobby: Room
) -> None:
    said = [await log.append(lobby.id, author, f"{n}", f"k{n}") for n, author in enumerate((ann, bob, ann))]
    assert [each.message.position for each in said] == [1, 2, 3]
    assert all(each.is_new for each in said)
    assert await bodies(log, lobby) == ["0", "1", "2"]
    assert await log.head(lobby.id) == 3


async def test_a_message_is_read_as_it_was_stored(log: Store, ann: Member, lobby: Room, clock: Clock) -> None:
    body = "Grüße 🎉\n\tund <b>\u202e"
    stored = await log.append(lobby.id, ann, body, "k")
    assert (await log.changes(lobby.id, 0, 1, 10)).new == [stored.message]
    assert stored.message.body == body
    assert (stored.message.author_id, stored.message.author_name) == (ann.id, "Ann")
    assert stored.message.created_at == clock.now
    assert stored.message.created_at.utcoffset() is not None


async def test_positions_have_no_gaps_however_many_speak_at_once(log: Store, ann: Member, bob: Member) -> None:
    rooms = [(await log.rooms())[0], await log.create_room("Tea"), await log.create_room("Cake")]
    said: defaultdict[int, list[Stored]] = defaultdict(list)

    async def talk(author: Member, room: Room, number: int) -> None:
        for turn in range(5):
            said[room.id].append(await log.append(room.id, author, f"{number}.{turn}", f"{number}.{turn}"))

    await asyncio.gather(*(talk((ann, bob)[n % 2], rooms[n % 3], n) for n in range(30)))
    for room in rooms:
        positions = [each.message.position for each in said[room.id]]
        assert sorted(positions) == list(range(1, 51))
        # Who is answered first stands first: a position is given in the order of commits.
        assert positions == sorted(positions)
        log_of_room = (await log.changes(room.id, 0, 1_000, 1_000)).new
        assert [message.position for message in log_of_room] == list(range(1, 51))
        for number in range(30):
            own = [message.body for message in log_of_room if message.body.startswith(f"{number}.")]
            assert own == sorted(own)
        assert await log.head(room.id) == 50


async def test_a_message_keeps_the_name_under_which_it_was_said(log: Store, ann: Member, lobby: Room) -> None:
    await log.append(lobby.id, ann, "before", "k1")
    anna = await log.take_name(ann, "Anna", "UTC", HELD_DAYS)
    await log.append(lobby.id, anna, "after", "k2")
    messages = (await log.changes(lobby.id, 0, 9, 9)).new
    assert [message.author_name for message in messages] == ["Ann", "Anna"]
    assert {message.author_id for message in messages} == {ann.id}


# Submissions


async def test_the_same_submission_is_one_message(log: Store, ann: Member, lobby: Room) -> None:
    first = await log.append(lobby.id, ann, "hello", "k1")
    again = await log.append(lobby.id, ann, "hello", "k1")
    assert (first.is_new, again.is_new) == (True, False)
    assert again.message == first.message
    assert await bodies(log, lobby) == ["hello"]


@pytest.mark.parametrize("times", [2, 10, LARGEST_BATCH + 10])
async def test_the_same_submission_many_times_at_once_is_one_message(
    log: Store, ann: Member, lobby: Room, times: int
) -> None:
    stored = await asyncio.gather(*(log.append(lobby.id, ann, "hello", "k1") for _ in range(times)))
    assert {each.message for each in stored} == {stored[0].message}
    assert sum(each.is_new for each in stored) == 1
    assert await log.head(lobby.id) == 1


async def test_a_submission_is_known_after_a_restart(opening: Opener) -> None:
    async with opening() as log:
        ann = await log.take_name(None, "Ann", "UTC", HELD_DAYS)
        room = (await log.rooms())[0]
        first = await log.append(room.id, ann, "hello", "k1")
    async with opening() as log:
        again = await log.append(room.id, ann, "hello", "k1")
        assert again == Stored(first.message, is_new=False)
        assert (await log.append(room.id, ann, "more", "k2")).message.position == 2


async def test_another_body_author_room_or_key_is_another_message(
    log: Store, ann: Member, bob: Member, lobby: Room
) -> None:
    tea = await log.create_room("Tea")
    said = [
        await log.append(lobby.id, ann, "hello", "k1"),
        await log.append(lobby.id, ann, "hello!", "k1"),
        await log.append(lobby.id, bob, "hello", "k1"),
        await log.append(lobby.id, ann, "hello", "k2"),
        await log.append(tea.id, ann, "hello", "k1"),
    ]
    assert all(each.is_new for each in said)
    assert [each.message.position for each in said] == [1, 2, 3, 4, 1]


async def test_a_failed_message_does_not_fail_its_batch(log: Store, ann: Member, lobby: Room) -> None:
    nobody = Member("nobody", "Nobody", "UTC")
    said = await asyncio.gather(
        log.append(lobby.id, ann, "one", "k1"),
        log.append(lobby.id, nobody, "two", "k2"),
        log.append(lobby.id, ann, "three", "k3"),
        return_exceptions=True,
    )
    assert [isinstance(each, Stored) for each in said] == [True, False, True]
    assert await bodies(log, lobby) == ["one", "three"]


# Reading


async def test_since_returns_changes_up_to_a_position(log: Store, ann: Member, lobby: Room) -> None:
    for number in range(1, 8):
        await log.append(lobby.id, ann, f"{number}", f"k{number}")
    assert await _since(log, lobby, 0, 7, 99) == [1, 2, 3, 4, 5, 6, 7]
    assert await _since(log, lobby, 3, 7, 99) == [4, 5, 6, 7]
    assert await _since(log, lobby, 3, 5, 99) == [4, 5]
    assert await _since(log, lobby, 3, 7, 2) == [4, 5]
    assert await _since(log, lobby, -1, 2**63 - 1, 1) == [1]
    assert await _since(log, lobby, 7, 7, 99) == []
    assert await _since(log, lobby, 99, 100, 99) == []


async def test_before_returns_the_newest_earlier_messages_oldest_first(log: Store, ann: Member, lobby: Room) -> None:
    for number in range(1, 8):
        await log.append(lobby.id, ann, f"{number}", f"k{number}")
    assert await _before(log, lobby, 2**63 - 1, 3) == [5, 6, 7]
    assert await _before(log, lobby, 5, 3) == [2, 3, 4]
    assert await _before(log, lobby, 3, 99) == [1, 2]
    assert await _before(log, lobby, 1, 99) == []


async def test_pages_backwards_reach_the_first_message_and_leave_nothing_out(
    log: Store, ann: Member, lobby: Room
) -> None:
    await asyncio.gather(*(log.append(lobby.id, ann, f"{n}", f"k{n}") for n in range(23)))
    before, found = 2**63 - 1, list[int]()
    while page := await _before(log, lobby, before, 5):
        found = page + found
        before = page[0]
    assert found == list(range(1, 24))


async def test_a_room_without_messages_is_empty(log: Store, lobby: Room) -> None:
    assert await log.head(lobby.id) == 0
    assert await _since(log, lobby, 0, 99, 99) == []
    assert await _before(log, lobby, 99, 99) == []
    assert await log.head(4711) == 0


async def _since(log: Store, room: Room, after: int, upto: int, limit: int) -> list[int]:
    return [message.position for message in (await log.changes(room.id, after, upto, limit)).new]


async def _before(log: Store, room: Room, position: int, limit: int) -> list[int]:
    return [message.position for message in (await log.before(room.id, position, limit)).messages]


# The log as a whole


async def test_a_log_keeps_its_epoch_and_its_lobby(opening: Opener) -> None:
    async with opening() as log:
        epoch, rooms = log.epoch, await log.rooms()
        assert epoch
        assert [(room.slug, room.name) for room in rooms] == [(LOBBY, "Lobby")]
    async with opening() as log:
        assert (log.epoch, await log.rooms()) == (epoch, rooms)


async def test_another_log_has_another_epoch(tmp_path: Path, clock: Clock) -> None:
    epochs = set()
    for name in ("one", "two", "three"):
        async with Store(f"sqlite:///{tmp_path / name}", clock).opened("Lobby") as log:
            epochs.add(log.epoch)
    assert len(epochs) == 3


async def test_the_last_append_is_stored_before_the_log_closes(opening: Opener) -> None:
    async with opening() as log:
        ann = await log.take_name(None, "Ann", "UTC", HELD_DAYS)
        room = (await log.rooms())[0]
        waiting = [asyncio.create_task(log.append(room.id, ann, f"{n}", f"k{n}")) for n in range(20)]
        await asyncio.sleep(0)
    assert all(each.is_new for each in await asyncio.gather(*waiting))
    async with opening() as log:
        assert len(await bodies(log, room)) == 20


# Batches


async def test_waiting_appends_are_committed_together(log: Store, ann: Member, lobby: Room) -> None:
    batches: list[int] = []
    log.writer.on_batch = lambda size, seconds: batches.append(size)
    await asyncio.gather(*(log.append(lobby.id, ann, f"{n}", f"k{n}") for n in range(100)))
    assert sum(batches) == 100
    assert len(batches) <= 3


async def test_a_batch_has_a_limit(log: Store, ann: Member, lobby: Room) -> None:
    batches: list[int] = []
    log.writer.on_batch = lambda size, seconds: batches.append(size)
    await asyncio.gather(*(log.append(lobby.id, ann, f"{n}", f"k{n}") for n in range(2 * LARGEST_BATCH)))
    assert max(batches) <= LARGEST_BATCH
    assert sum(batches) == 2 * LARGEST_BATCH


@pytest.mark.breaks("app/store/writer.py", "await self._gather(self._last_batch)", "pass")
async def test_a_batch_waits_for_the_senders_of_the_last_one(
    monkeypatch: pytest.MonkeyPatch, log: Store, ann: Member, lobby: Room
) -> None:
    """Their next messages come one by one: else the first would be committed alone, and all others wait for that."""
    monkeypatch.setattr(writer, "LONGEST_GATHERING", 10)
    batches: list[int] = []
    log.writer.on_batch = lambda size, seconds: batches.append(size)
    for batch in range(3):
        said = []
        for number in range(5):
            said.append(asyncio.create_task(log.append(lobby.id, ann, "hello", f"{batch}.{number}")))
            if batch:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        await asyncio.gather(*said)
    assert batches == [5, 5, 5]


async def test_a_batch_does_not_wait_for_absent_senders(
    monkeypatch: pytest.MonkeyPatch, log: Store, ann: Member, lobby: Room
) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(*(log.append(lobby.id, ann, "hello", f"k{n}") for n in range(5)))
        await log.append(lobby.id, ann, "hello", "some came")
        # One by one, there is nothing to wait for.
        monkeypatch.setattr(writer, "LONGEST_GATHERING", 10)
        await log.append(lobby.id, ann, "hello", "alone")
        await log.append(lobby.id, ann, "hello", "and again")


async def test_a_commit_announces_how_far_each_room_has_come(log: Store, ann: Member, lobby: Room) -> None:
    tea = await log.create_room("Tea")
    announced: list[tuple[int, int]] = []
    log.writer.on_commit = lambda room_id, changes: announced.append((room_id, changes.upto))
    await asyncio.gather(
        *(log.append(room.id, ann, f"{n}", f"k{n}") for n in range(10) for room in (lobby, tea)),
    )
    assert dict(announced) == {lobby.id: 10, tea.id: 10}


async def test_a_commit_reports_new_messages_in_log_order(log: Store, ann: Member, lobby: Room) -> None:
    tea = await log.create_room("Tea")
    await log.append(lobby.id, ann, "known", "k")
    brought: dict[int, Changes] = {}
    log.writer.on_commit = lambda room_id, changes: brought.update({room_id: changes})
    said = [(lobby, "0", "k0"), (tea, "1", "k1"), (lobby, "known", "k"), (lobby, "2", "k2"), (lobby, "0", "k0")]
    stored = await asyncio.gather(*(log.append(room.id, ann, body, key) for room, body, key in said))
    assert [(each.is_new, each.message.position) for each in stored] == [
        (True, 2),
        (True, 1),
        (False, 1),
        (True, 3),
        (False, 2),
    ]
    assert brought == {room.id: await log.changes(room.id, after, 9, 9) for room, after in ((lobby, 1), (tea, 0))}
    await log.append(lobby.id, ann, "known", "k")
    assert brought[lobby.id].new == []


async def test_commits_are_announced_before_senders_are_answered(log: Store, ann: Member, lobby: Room) -> None:
    said: list[asyncio.Task[Stored]] = []
    answered: list[bool] = []
    log.writer.on_commit = lambda room_id, changes: answered.extend(each.done() for each in said)
    said += [asyncio.create_task(log.append(lobby.id, ann, f"{n}", f"k{n}")) for n in range(3)]
    await asyncio.gather(*said)
    assert answered == [False, False, False]


@pytest.mark.breaks("app/store/writer.py", 'log.exception("not announced")', "raise")
async def test_a_listener_that_fails_takes_no_receipt_from_anybody(log: Store, ann: Member, lobby: Room) -> None:
    def fail(room_id: int, changes: Changes) -> None:
        raise LookupError("a mistake")

    log.writer.on_commit = fail
    with capture_logs() as logged:
        said = await asyncio.wait_for(
            asyncio.gather(*(log.append(lobby.id, ann, f"{n}", f"k{n}") for n in range(3))), 5
        )
    assert [each.message.position for each in said] == [1, 2, 3]
    assert [(line["event"], line["exc_info"]) for line in logged] == [("not announced", True)]
    assert (await log.append(lobby.id, ann, "more", "k")).is_new


@pytest.mark.breaks("app/store/writer.py", 'log.error("cannot be stored", exc_info=error)', "pass")
async def test_unexpected_store_errors_are_logged_once(log: Store, ann: Member, lobby: Room) -> None:
    with capture_logs() as logged:
        said = await asyncio.gather(
            *(log.append(room_id, ann, f"{room_id}", "k") for room_id in (lobby.id, 4711)), return_exceptions=True
        )
    assert [type(each) for each in said] == [Stored, StoreUnavailable]
    assert [(line["event"], type(line["exc_info"])) for line in logged] == [("cannot be stored", NoResultFound)]


@pytest.mark.breaks("app/store/writer.py", "partial(append_queries.commit, ", "partial(append_queries.commit_unknown, ")
async def test_a_new_submission_costs_no_lookup(log: Store, ann: Member, lobby: Room) -> None:
    """A transaction, the room's row, messages, words, members: each statement more is paid for by every message."""
    with statements() as run:
        await asyncio.gather(*(log.append(lobby.id, ann, f"{n}", f"k{n}") for n in range(9)))
    # Where each would be a trip, it is one that does it all.
    assert run in (["BEGIN", "UPDATE", *["INSERT"] * 3], ["WITH"])


@contextmanager
def statements() -> Iterator[list[str]]:
    """Note how each statement that is run begins."""
    run: list[str] = []

    def note(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
        run.append(statement.split()[0])

    event.listen(Engine, "before_cursor_execute", note)
    yield run
    event.remove(Engine, "before_cursor_execute", note)


async def test_an_announced_message_can_be_read(log: Store, ann: Member, lobby: Room) -> None:
    reads: list[asyncio.Task[int]] = []
    log.writer.on_commit = lambda room_id, changes: reads.append(asyncio.create_task(log.head(room_id)))
    await log.append(lobby.id, ann, "hello", "k1")
    assert await asyncio.gather(*reads) == [1]


async def test_a_message_is_stored_though_its_sender_left_before_the_receipt(
    log: Store, ann: Member, lobby: Room
) -> None:
    announced: list[int] = []
    log.writer.on_commit = lambda room_id, changes: announced.append(changes.upto)
    said = [asyncio.create_task(log.append(lobby.id, ann, f"{n}", f"k{n}")) for n in range(5)]
    await asyncio.sleep(0)
    said[2].cancel()
    outcome = await asyncio.gather(*said, return_exceptions=True)
    assert [isinstance(each, Stored) for each in outcome] == [True, True, False, True, True]
    assert await bodies(log, lobby) == ["0", "1", "2", "3", "4"]
    assert max(announced) == 5
    assert (await log.append(lobby.id, ann, "2", "k2")).is_new is False


# Rooms


async def test_rooms_stand_in_the_order_of_their_making(log: Store) -> None:
    made = [await log.create_room(name) for name in ("Zebra", "Apple", "Apple!")]
    assert [room.slug for room in made] == ["zebra", "apple", "apple-2"]
    assert [room.name for room in made] == ["Zebra", "Apple", "Apple!"]
    assert (await log.rooms())[1:] == made


async def test_rooms_made_at_once_have_addresses_of_their_own(log: Store) -> None:
    made = await asyncio.gather(*(log.create_room(f"Tea{'!' * number}") for number in range(12)))
    assert len({room.slug for room in made}) == 12
    assert len({room.id for room in made}) == 12


@pytest.mark.breaks("app/store/room_queries.py", "if rooms_with(connection, name):", "if False:")
@pytest.mark.parametrize(
    ("name", "clash"),
    [
        ("Lobby", "A room called “Lobby” already exists"),
        ("lOBBY", "A room called “lOBBY” already exists"),
        ("L\N{CYRILLIC SMALL LETTER O}bby", "looks too much like"),
    ],
)
async def test_nobody_makes_another_lobby_nor_one_that_looks_like_it(log: Store, name: str, clash: str) -> None:
    with pytest.raises(Refused, match=clash) as refusal:
        await log.create_room(name)
    assert refusal.value.reason == "room-taken"
    assert len(await log.rooms()) == 1


async def test_concurrent_creations_of_a_room_make_one(log: Store) -> None:
    made = await asyncio.gather(*(log.create_room("Tea") for _ in range(8)), return_exceptions=True)
    assert [type(each) for each in made if isinstance(each, Exception)] == [Refused] * 7
    assert [room.slug for room in await log.rooms()] == ["lobby", "tea"]


async def test_the_number_of_rooms_is_limited(log: Store) -> None:
    await log.create_room("Tea", most=2)
    assert await refused(log.create_room("Cake", most=2)) == "rooms-full"


async def test_neither_the_id_nor_the_address_of_a_removed_room_is_given_again(log: Store, ann: Member) -> None:
    tea = await log.create_room("Tea")
    await log.append(tea.id, ann, "hello", "k")
    assert await log._write(partial(close_room, slug="tea")) == tea
    assert [room.slug for room in await log.rooms_after(0)] == ["lobby"]
    assert await log._write(partial(erase_messages, room_id=tea.id, limit=10)) == 1
    assert await log._write(partial(erase_room, room_id=tea.id)) == 0
    with pytest.raises(StoreUnavailable):
        await log.append(tea.id, ann, "hello", "k")
    again = await log.create_room("Tea")
    assert (again.slug, again.id) == ("tea-2", tea.id + 1)
    assert await log.removed_since(0) == [(1, "tea")]
    assert await log.removed_since(1) == []
    assert await log._write(partial(close_room, slug="tea")) is None


# Names


async def test_choosing_a_name_makes_a_member(log: Store) -> None:
    ann = await log.take_name(None, "Ann", "Europe/Berlin", HELD_DAYS)
    assert (ann.name, ann.time_zone) == ("Ann", "Europe/Berlin")
    assert await log.member(ann.id) == ann
    assert await log.member("somebody else") is None


@pytest.mark.parametrize("name", ["Ann", "ANN", "ann", "\uff21nn", "Ann\u200d"])
async def test_a_name_in_use_is_taken_however_it_is_written(log: Store, ann: Member, bob: Member, name: str) -> None:
    assert await refused(log.take_name(None, name, "UTC", HELD_DAYS)) == "name-taken"
    assert await refused(log.take_name(bob, name, "UTC", HELD_DAYS)) == "name-taken"
    assert await log.member(ann.id) == ann
    assert await log.member(bob.id) == bob


@pytest.mark.breaks("app/store/store.py", ', "name_skeleton": skeleton(name)}', "}")
@pytest.mark.parametrize("name", ["\N{CYRILLIC CAPITAL LETTER A}nn", "\N{GREEK CAPITAL LETTER ALPHA}NN"])
async def test_a_name_that_looks_like_one_in_use_is_refused_and_called_so(
    log: Store, ann: Member, bob: Member, name: str
) -> None:
    for member in (None, bob):
        with pytest.raises(Refused, match=f"“{name}” looks too much like one that is taken") as refusal:
            await log.take_name(member, name, "UTC", HELD_DAYS)
        assert refusal.value.reason == "name-taken"
    with pytest.raises(Refused, match="“ANN” is taken"):
        await log.take_name(bob, "ANN", "UTC", HELD_DAYS)
    assert [await log.member(each.id) for each in (ann, bob)] == [ann, bob]


async def test_a_member_may_change_the_case_of_their_name(log: Store, ann: Member, bob: Member) -> None:
    lookalike = await log.take_name(ann, "\N{CYRILLIC CAPITAL LETTER A}nn", "UTC", HELD_DAYS)
    assert await log.member(ann.id) == lookalike
    with pytest.raises(Refused, match="“Ann” looks too much like one that is taken"):
        await log.take_name(bob, "Ann", "UTC", HELD_DAYS)
    assert await log.take_name(lookalike, "Ann", "UTC", HELD_DAYS) == ann


async def test_an_abandoned_name_does_not_block_look_alikes(log: Store, ann: Member, clock: Clock) -> None:
    clock.advance(days=HELD_DAYS + 1)
    new = await log.take_name(None, "\N{CYRILLIC CAPITAL LETTER A}nn", "UTC", HELD_DAYS)
    assert await log.member(new.id) == new
    assert await log.member(ann.id) is None


async def test_renaming_keeps_the_member_and_begins_another_session(log: Store, ann: Member) -> None:
    anna = await log.take_name(ann, "Anna", "Asia/Kathmandu", HELD_DAYS)
    assert anna == Member(ann.id, "Anna", "Asia/Kathmandu")
    assert await log.member(ann.id) == anna
    known = await log.member(ann.id)
    assert known and anna.is_still(known) and not ann.is_still(known)


@pytest.mark.breaks(
    "app/store/member_queries.py",
    "members.c.id == member.id, members.c.session == member.session)\n        if not connection.execute(renew",
    "members.c.id == member.id)\n        if not connection.execute(renew",
)
async def test_an_old_session_can_neither_rename_nor_sign_out(log: Store, ann: Member) -> None:
    anna = await log.take_name(ann, "Anna", "UTC", HELD_DAYS)
    back = await log.take_name(anna, "Ann", "UTC", HELD_DAYS)
    assert ann.session < anna.session < back.session
    for old in (ann, anna):
        assert await refused(log.take_name(old, "Eve", "UTC", HELD_DAYS)) == "no-session"
        assert await log.sign_out(old) is None
    known = await log.member(ann.id)
    assert known == ann and back.is_still(known)


async def test_signing_out_ends_the_session_and_holds_the_name(log: Store, ann: Member) -> None:
    numbers = list[int]()
    log.on_renamed = numbers.append
    ended = await log.sign_out(ann)
    assert ended == ann and ended.session == numbers[0]
    assert await log.renamed_since(0) == (1, [ann])
    assert not ann.is_still(await log.member(ann.id))
    assert await refused(log.take_name(None, "Ann", "UTC", HELD_DAYS)) == "name-taken"


@pytest.mark.breaks("app/store/member_queries.py", "        raise NameUnavailable\n", "        pass\n")
async def test_a_former_name_is_held_for_its_former_owner(log: Store, ann: Member, bob: Member, clock: Clock) -> None:
    anna = await log.take_name(ann, "Anna", "UTC", HELD_DAYS)
    for member, name in ((None, "Ann"), (bob, "ANN"), (bob, "\N{CYRILLIC CAPITAL LETTER A}nn")):
        with pytest.raises(Refused, match="is taken" if name.isascii() else "looks too much like one that is taken"):
            await log.take_name(member, name, "UTC", HELD_DAYS)
    assert await log.member(bob.id) == bob
    back = await log.take_name(anna, "Ann", "UTC", HELD_DAYS)
    assert back == ann
    assert await refused(log.take_name(bob, "Anna", "UTC", HELD_DAYS)) == "name-taken"
    clock.advance(days=HELD_DAYS)
    await log.saw([ann.id])
    assert await refused(log.take_name(bob, "Anna", "UTC", HELD_DAYS)) == "name-taken"
    clock.advance(seconds=1)
    assert (await log.take_name(bob, "Anna", "UTC", HELD_DAYS)).name == "Anna"
    assert await refused(log.take_name(None, "Ann", "UTC", HELD_DAYS)) == "name-taken"


async def test_ones_own_name_can_be_taken_again_and_written_otherwise(log: Store, ann: Member, clock: Clock) -> None:
    loud = await log.take_name(ann, "ANN", "UTC", HELD_DAYS)
    assert loud == Member(ann.id, "ANN", "UTC")
    clock.advance(days=HELD_DAYS + 1)
    assert await log.take_name(loud, "Ann", "UTC", HELD_DAYS) == ann
    assert await log.member(ann.id) == ann


async def test_a_name_is_held_for_so_many_days_and_then_free(log: Store, ann: Member, clock: Clock) -> None:
    clock.advance(days=HELD_DAYS)
    assert await refused(log.take_name(None, "Ann", "UTC", HELD_DAYS)) == "name-taken"
    clock.advance(seconds=1)
    new = await log.take_name(None, "ann", "UTC", HELD_DAYS)
    assert new.id != ann.id
    assert await log.member(new.id) == new
    # Who held it before is nobody now, and not two people by one name.
    assert await log.member(ann.id) is None


async def test_a_member_who_lost_their_name_may_choose_another(log: Store, ann: Member, clock: Clock) -> None:
    clock.advance(days=HELD_DAYS + 1)
    await log.take_name(None, "Ann", "UTC", HELD_DAYS)
    assert await refused(log.take_name(ann, "Ann", "UTC", HELD_DAYS)) == "name-taken"
    anna = await log.take_name(ann, "Anna", "UTC", HELD_DAYS)
    assert await log.member(ann.id) == anna


async def test_a_refused_name_takes_nothing_from_anybody(log: Store, ann: Member, bob: Member) -> None:
    assert await refused(log.take_name(bob, "Ann", "Asia/Kathmandu", HELD_DAYS)) == "name-taken"
    assert await log.member(bob.id) == bob
    assert await refused(log.take_name(None, "Bob", "UTC", HELD_DAYS)) == "name-taken"


async def test_a_visit_keeps_a_name(log: Store, ann: Member, bob: Member, clock: Clock) -> None:
    clock.advance(days=HELD_DAYS - 1)
    await log.member(ann.id)
    await log.saw([bob.id])
    clock.advance(days=HELD_DAYS - 1)
    assert await refused(log.take_name(None, "Ann", "UTC", HELD_DAYS)) == "name-taken"
    assert await refused(log.take_name(None, "Bob", "UTC", HELD_DAYS)) == "name-taken"


async def test_seeing_nobody_is_nothing(log: Store, ann: Member) -> None:
    await log.saw([])
    await log.saw(["somebody else"])
    assert await log.member(ann.id) == ann


async def test_one_of_many_concurrent_requests_gets_a_name(log: Store) -> None:
    wanted = await asyncio.gather(
        *(log.take_name(None, name, "UTC", HELD_DAYS) for name in ("Ann", "ANN", "ann") * 4), return_exceptions=True
    )
    winners = [each for each in wanted if isinstance(each, Member)]
    losers = [each for each in wanted if isinstance(each, Refused)]
    assert (len(winners), len(losers)) == (1, 11)
    assert await log.member(winners[0].id) == winners[0]


async def test_one_of_many_concurrent_requests_gets_an_abandoned_name(log: Store, ann: Member, clock: Clock) -> None:
    clock.advance(days=HELD_DAYS + 1)
    wanted = await asyncio.gather(
        *(log.take_name(None, "Ann", "UTC", HELD_DAYS) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, Member) for each in wanted) == 1


# Somebody else writes


def writes(log: Store) -> bool:
    """Whether the writer has taken what was to be stored."""
    return log.writer._writing is not None and not log.writer.waiting


@pytest.mark.parametrize("lock_wait", [0.1])
async def test_a_locked_database_refuses_to_write_and_recovers(
    log: Store, ann: Member, lobby: Room, store_url: str
) -> None:
    await log.append(lobby.id, ann, "before", "k0")
    async with locked(store_url):
        said = await asyncio.gather(
            *(log.append(lobby.id, ann, f"{n}", f"k{n}") for n in (1, 2)), return_exceptions=True
        )
        assert [type(each) for each in said] == [StoreUnavailable, StoreUnavailable]
        with pytest.raises(StoreUnavailable):
            await log.create_room("Tea")
        with pytest.raises(StoreUnavailable):
            await log.take_name(None, "Carl", "UTC", HELD_DAYS)
    # Nothing was stored, and nothing is in the way: sending it again is all it takes.
    assert (await log.append(lobby.id, ann, "1", "k1")).message.position == 2
    assert await bodies(log, lobby) == ["before", "1"]


async def test_appends_wait_for_a_short_lock(log: Store, ann: Member, lobby: Room, store_url: str) -> None:
    async with locked(store_url):
        said = [asyncio.create_task(log.append(lobby.id, ann, "first", "k"))]
        await until(lambda: writes(log))
        said += [asyncio.create_task(log.append(lobby.id, ann, f"{n}", f"k{n}")) for n in range(49)]
        await until(lambda: log.writer.waiting == 49)
    assert all(each.is_new for each in await asyncio.gather(*said))
    assert log.writer.waiting == 0


@pytest.mark.parametrize("lock_wait", [1])
@pytest.mark.breaks("app/store/writer.py", "deadline = batch[0].deadline", "deadline = None")
async def test_lock_waits_do_not_add_up(log: Store, ann: Member, lobby: Room, store_url: str, lock_wait: float) -> None:
    """Not first for those before them, and then for the lock."""
    clock = asyncio.get_running_loop().time

    async def waits(attempt: Coroutine[Any, Any, object]) -> float:
        started = clock()
        with pytest.raises(StoreUnavailable):
            await attempt
        return clock() - started

    async with locked(store_url):
        first = asyncio.create_task(waits(log.append(lobby.id, ann, "first", "k")))
        await until(lambda: writes(log))
        waited = await asyncio.gather(
            first,
            *(waits(log.append(lobby.id, ann, f"{n}", f"k{n}")) for n in range(50)),
            *(waits(log.create_room(f"{n}")) for n in range(5)),
            *(waits(log.take_name(None, f"{n}", "UTC", HELD_DAYS)) for n in range(5)),
        )
    assert max(waited) < 1.9 * lock_wait
    assert (await log.append(lobby.id, ann, "1", "k1")).message.position == 1


@pytest.mark.breaks("app/store/writer.py", "if len(self._queue) >= MOST_WAITING:", "if False:")
async def test_the_append_queue_is_bounded(monkeypatch: pytest.MonkeyPatch, opening: Opener, store_url: str) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 5)
    async with opening() as log:
        ann = await log.take_name(None, "Ann", "UTC", HELD_DAYS)
        room = (await log.rooms())[0]
        async with locked(store_url):
            said = [asyncio.create_task(log.append(room.id, ann, "first", "k"))]
            await until(lambda: writes(log))
            said += [asyncio.create_task(log.append(room.id, ann, f"{n}", f"k{n}")) for n in range(5)]
            await until(lambda: log.writer.waiting == 5)
            with pytest.raises(StoreUnavailable, match="too many"):
                await asyncio.wait_for(log.append(room.id, ann, "one too many", "k"), 1)
        await asyncio.gather(*said)
        assert await bodies(log, room) == ["first", "0", "1", "2", "3", "4"]


@pytest.mark.parametrize("lock_wait", [0.1])
async def test_reading_goes_on_while_somebody_else_writes(
    log: Store, ann: Member, lobby: Room, store_url: str, clock: Clock
) -> None:
    await log.append(lobby.id, ann, "before", "k0")
    clock.advance(days=1)  # a visit is due to be noted
    async with locked(store_url):
        await log.check()
        assert await bodies(log, lobby) == ["before"]
        assert await log.head(lobby.id) == 1
        assert await log.rooms() == [lobby]
        assert await log.member(ann.id) == ann


@pytest.mark.breaks("app/store/store.py", "self.saw([member_id], VISIT_WAIT)", "self.saw([member_id])")
async def test_no_page_waits_for_its_visit_to_be_recorded(
    log: Store, ann: Member, lobby: Room, store_url: str, clock: Clock, lock_wait: float
) -> None:
    clock.advance(days=1)
    async with locked(store_url):
        said = asyncio.create_task(log.append(lobby.id, ann, "waits longer", "k"))
        await until(lambda: writes(log))
        async with asyncio.timeout(lock_wait / 2):
            assert await log.member(ann.id) == ann
    await said


@pytest.mark.breaks(
    "app/store/writer.py", "self._announce(room_id, Changes(", "new and self._announce(room_id, Changes("
)
async def test_a_commit_that_only_seemed_to_fail_is_one_message_and_announced(
    monkeypatch: pytest.MonkeyPatch, log: Store, ann: Member, lobby: Room
) -> None:
    commit, announced = log.writer._commit, list[tuple[int, int, int]]()
    log.writer.on_commit = lambda room_id, changes: announced.append((room_id, changes.upto, len(changes.new)))

    async def commit_and_fail(batch: list[Append]) -> None:
        await commit(batch)
        raise StoreUnavailable("the answer was lost")

    monkeypatch.setattr(log.writer, "_commit", commit_and_fail)
    with pytest.raises(StoreUnavailable):
        await log.append(lobby.id, ann, "hello", "k1")
    monkeypatch.undo()
    assert not announced
    assert (await log.append(lobby.id, ann, "hello", "k1")).is_new is False
    assert announced == [(lobby.id, 1, 0)]
    assert await bodies(log, lobby) == ["hello"]


@pytest.mark.breaks(
    "app/store/append_queries.py", "coalesce(position - count, 0) + number", "position - count + number"
)
@pytest.mark.parametrize(("room_id", "author_id"), [(1, "nobody"), (4711, None)])
async def test_an_error_does_not_contain_message_texts(
    log: Store, ann: Member, room_id: int, author_id: str | None
) -> None:
    """Nor does any that it came of, to which PostgreSQL gives details."""
    somebody, body = Member(author_id or ann.id, "A secret name", "UTC"), "a secret body"
    with capture_logs() as logged, pytest.raises(StoreUnavailable) as failed:
        await log.append(room_id, somebody, body, "key")
    told = "".join(format_exception(failed.value)) + "".join(format_exception(logged[0]["exc_info"]))
    assert "foreign key" in told.lower() or "NoResultFound" in told
    assert "secret" not in told
