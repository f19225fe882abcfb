"""Edits, deletions and reactions in the log: the contract, on each engine."""

import asyncio

import pytest
from sqlalchemy import Connection, Table, func, select

from app.chat.changes import Change, Delete, Edit, React, Unreact
from app.chat.messages import Member, Message, Quote, Refused, Room
from app.chat.quotes import quote
from app.chat.timeline import Changes
from app.store import room_queries, tables
from app.store.change_queries import Request
from app.store.store import Store
from tests.conftest import Clock

pytestmark = pytest.mark.anyio
NEWEST = 2**63 - 1


@pytest.fixture
async def said(log: Store, ann: Member, lobby: Room) -> Message:
    return (await log.append(lobby.id, ann, "hello", "k1")).message


async def change(log: Store, room: Room, member: Member, change: Change, position: int = 1) -> Message:
    return await log.change(Request(room.id, position, member, change, None))


async def rows(log: Store, table: Table) -> int:
    def count(connection: Connection) -> int:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)

    return await log._read(count)


async def test_an_edit_takes_a_position_and_keeps_the_earlier_version(
    log: Store, ann: Member, lobby: Room, said: Message, clock: Clock
) -> None:
    clock.advance(minutes=1)
    edited = await change(log, lobby, ann, Edit("good bye"))
    assert (edited.body, edited.changed, edited.edited_at) == ("good bye", 2, clock.now)
    assert await log.head(lobby.id) == 2
    assert await log.message(lobby.id, 1) == edited
    assert (await log.before(lobby.id, NEWEST, 9)).messages == [edited]
    assert await log.earlier_versions(lobby.id, 1) == [("hello", clock.now)]


@pytest.mark.breaks("app/store/change_queries.py", "connection.execute(_FORGET_VERSIONS, deleted)", "pass")
@pytest.mark.breaks("app/store/change_queries.py", "connection.execute(_UNREACT, removed)", "pass")
async def test_a_deletion_leaves_nothing_of_it_in_the_database(
    log: Store, ann: Member, bob: Member, lobby: Room, said: Message
) -> None:
    await change(log, lobby, ann, Edit("secret"))
    await change(log, lobby, bob, React("👍"))
    deleted = await change(log, lobby, ann, Delete())
    assert (deleted.body, deleted.is_deleted, deleted.reactions, deleted.changed) == ("", True, (), 4)
    assert await log.message(lobby.id, 1) == deleted
    assert await log.earlier_versions(lobby.id, 1) == []
    assert await rows(log, tables.reactions) == 0


@pytest.mark.breaks("app/store/change_queries.py", "kept.pop(after.position, None)", "pass")
async def test_an_edit_and_a_deletion_in_one_batch_leave_nothing(
    log: Store, ann: Member, lobby: Room, said: Message
) -> None:
    edits = [change(log, lobby, ann, each) for each in (Edit("one"), Edit("two"), Delete())]
    await asyncio.gather(*edits)
    assert await log.earlier_versions(lobby.id, 1) == []


async def test_all_versions_of_one_batch_are_kept(log: Store, ann: Member, lobby: Room, said: Message) -> None:
    await asyncio.gather(*(change(log, lobby, ann, Edit(text)) for text in ("one", "two", "three")))
    assert [body for body, _ in await log.earlier_versions(lobby.id, 1)] == ["hello", "one", "two"]
    assert await log.head(lobby.id) == 4


@pytest.mark.breaks("app/store/message_queries.py", ".order_by(reactions.c.added)", "")
async def test_reactions_are_read_as_they_were_made(
    log: Store, ann: Member, bob: Member, lobby: Room, said: Message
) -> None:
    acts: list[tuple[Member, Change]] = [(bob, React("🎉")), (ann, React("👍")), (ann, React("🎉"))]
    acts += [(bob, Unreact("🎉")), (bob, React("🎉"))]
    for member, each in acts:
        made = await change(log, lobby, member, each)
        assert await log.message(lobby.id, 1) == made
    assert [(each.emoji, [by.name for by in each.by]) for each in made.reactions] == [
        ("👍", ["Ann"]),
        ("🎉", ["Ann", "Bob"]),
    ]


async def test_a_change_without_effect_takes_no_position(log: Store, ann: Member, lobby: Room, said: Message) -> None:
    announced: list[Changes] = []
    log.writer.on_commit = lambda room_id, changes: announced.append(changes)
    for each in (Edit("hello"), Unreact("👍"), React("👍"), React("👍")):
        await change(log, lobby, ann, each)
    assert await log.head(lobby.id) == 2
    assert [changes.upto for changes in announced] == [1, 1, 2, 2]


@pytest.mark.breaks("app/store/change_queries.py", "results.append(refusal)", "raise")
async def test_a_refused_change_does_not_fail_its_batch(
    log: Store, ann: Member, bob: Member, lobby: Room, said: Message
) -> None:
    attempts: list[tuple[Member, Change, int]] = [(bob, Edit("mine"), 1), (ann, Edit("good bye"), 1)]
    attempts += [(ann, Delete(), 7), (bob, React("👍"), 1)]
    made = await asyncio.gather(*(change(log, lobby, *each) for each in attempts), return_exceptions=True)
    reasons = [each.reason if isinstance(each, Refused) else each.changed for each in made]  # type: ignore[union-attr]
    assert reasons == ["not-yours", 2, "no-message", 3]


@pytest.mark.breaks("app/store/writer.py", "await self._change([each for each in batch", "([each for each in batch")
async def test_messages_and_changes_at_once_share_the_positions(
    log: Store, ann: Member, bob: Member, lobby: Room, said: Message
) -> None:
    seen: list[Changes] = []
    log.writer.on_commit = lambda room_id, changes: seen.append(changes)
    async with asyncio.timeout(10):
        await asyncio.gather(
            *(log.append(lobby.id, ann, f"{n}", f"n{n}") for n in range(10)),
            *(change(log, lobby, bob, React(emoji)) for emoji in "👍🎉🚀"),
        )
    assert await log.head(lobby.id) == 14
    assert [each.after for each in seen] == [1, *(each.upto for each in seen[:-1])]
    assert seen[-1].upto == 14


@pytest.mark.breaks("app/store/message_queries.py", "reply=quotes.get(row[8])", "reply=None")
async def test_a_reply_quotes_its_message_as_it_is_now(
    log: Store, ann: Member, bob: Member, lobby: Room, said: Message
) -> None:
    stored = await log.append(lobby.id, bob, "hi", "k2", quote(said))
    assert stored.message.reply == Quote(1, "Ann", "hello")
    assert (await log.changes(lobby.id, 1, NEWEST, 9)).new == [stored.message]
    await change(log, lobby, ann, Edit("*good* bye\nnow"))
    reply = await log.message(lobby.id, 2)
    assert reply
    assert reply.reply == Quote(1, "Ann", "good bye")
    await change(log, lobby, ann, Delete())
    reply = await log.message(lobby.id, 2)
    assert reply
    assert reply.reply == Quote(1, "Ann", None)


# Reading what changed


async def test_changed_messages_are_read_once_in_their_last_state(log: Store, ann: Member, lobby: Room) -> None:
    for number in range(1, 5):
        await log.append(lobby.id, ann, f"{number}", f"k{number}")
    for position, text in ((2, "b"), (1, "a"), (2, "c")):
        await change(log, lobby, ann, Edit(text), position)
    await log.append(lobby.id, ann, "5", "k5")
    await change(log, lobby, ann, Edit("e"), 8)
    found = await log.changes(lobby.id, 4, NEWEST, 10)
    assert (found.after, found.upto) == (4, 9)
    assert [(each.position, each.body) for each in found.new] == [(8, "e")]
    assert [(each.position, each.body, each.changed) for each in found.changed] == [(1, "a", 6), (2, "c", 7)]
    # Up to a position, which a page may have come to: what changed again later comes later.
    assert [each.position for each in (await log.changes(lobby.id, 4, 6, 10)).changed] == [1]


@pytest.mark.breaks("app/store/message_queries.py", "upto = older[-1].changed", "pass")
async def test_large_changes_are_read_in_parts(log: Store, ann: Member, lobby: Room) -> None:
    for number in range(1, 10):
        await log.append(lobby.id, ann, f"{number}", f"k{number}")
    for position in (3, 1, 2, 9, 8):
        await change(log, lobby, ann, Edit("new"), position)
    await log.append(lobby.id, ann, "last", "k10")
    position, new, changed = 9, list[int](), list[int]()
    while (found := await log.changes(lobby.id, position, NEWEST, 2)).upto > position:
        position = found.upto
        new += [each.position for each in found.new]
        changed += [each.position for each in found.changed]
    assert (position, new, changed) == (15, [15], [3, 1, 2, 9, 8])


async def test_a_gap_is_counted_up_to_a_limit(log: Store, ann: Member, lobby: Room) -> None:
    for number in range(5):
        await log.append(lobby.id, ann, f"{number}", f"k{number}")
        await change(log, lobby, ann, React("👍"), 1)
    assert await log.count(lobby.id, 1, 6, 100) == 3
    assert await log.count(lobby.id, 0, NEWEST, 2) == 2


async def test_a_removed_room_takes_its_reactions_and_versions_along(
    log: Store, ann: Member, lobby: Room, said: Message
) -> None:
    await change(log, lobby, ann, Edit("good bye"))
    await change(log, lobby, ann, React("👍"))
    await log._write(lambda connection: room_queries.erase_messages(connection, lobby.id, 10))
    assert (await rows(log, tables.versions), await rows(log, tables.reactions)) == (0, 0)
