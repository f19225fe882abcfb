"""Mentions and the members of a room in the log: the contract, on each engine."""

from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select
from sqlalchemy.engine import Engine

from app.chat.changes import Delete, Edit
from app.chat.messages import EVERYBODY, Member, Mention, Message, Room
from app.operations.removing import BATCH
from app.store import room_queries, tables
from app.store.change_queries import Request
from app.store.store import Store
from tests.logs import HELD_DAYS

pytestmark = pytest.mark.anyio
NEWEST = 2**63 - 1


async def names(log: Store, room: Room, *beginnings: str, most: int = 10) -> list[str]:
    return [member.name for member in await log.members_called(room.id, beginnings, most)]


async def say(log: Store, room: Room, author: Member, body: str, *mentions: Mention) -> Message:
    return (await log.append(room.id, author, body, body, mentions=mentions)).message


def of(member: Member, written: str) -> Mention:
    return Mention(member.id, member.name, written)


@pytest.mark.breaks("app/store/append_queries.py", "connection.execute(MENTION, mentioned)", "pass")
async def test_a_message_is_read_with_its_mentions(log: Store, ann: Member, bob: Member, lobby: Room) -> None:
    everybody = Mention(EVERYBODY, EVERYBODY, "room")
    one = await say(log, lobby, ann, "@ann and @Bob", of(bob, "Bob"), of(ann, "ann"))
    await say(log, lobby, bob, "nobody @home")
    other = await say(log, lobby, bob, "@room", everybody)
    read = (await log.before(lobby.id, NEWEST, 9)).messages
    assert [each.mentions for each in read] == [(of(bob, "Bob"), of(ann, "ann")), (), (everybody,)]
    assert await log.message(lobby.id, 1) == one
    assert (await log.changes(lobby.id, 0, 9, 9)).new == read
    assert not (await log.append(lobby.id, bob, "@room", "@room")).is_new
    assert other.mentions == (everybody,)


@pytest.mark.breaks("app/store/change_queries.py", "if changed:", "if False:")
async def test_an_edit_mentions_others_and_a_deletion_nobody(log: Store, ann: Member, bob: Member, lobby: Room) -> None:
    await say(log, lobby, ann, "@bob", of(bob, "bob"))
    edited = await log.change(Request(lobby.id, 1, ann, Edit("@ann", (of(ann, "ann"),)), None))
    assert edited.mentions == (of(ann, "ann"),)
    assert await log.message(lobby.id, 1) == edited
    deleted = await log.change(Request(lobby.id, 1, ann, Delete(), None))
    assert deleted.mentions == ()
    assert await log._read(lambda connection: count(connection, tables.mentions)) == 0


def count(connection: Connection, table: Any) -> int:
    return int(connection.scalar(select(func.count()).select_from(table)) or 0)


@pytest.mark.breaks(
    "app/store/member_queries.py", "found = found.join(memberships).where(memberships.c.room_id == room_id)", "pass"
)
async def test_members_of_a_room_are_found_by_the_beginning_of_their_name(log: Store, lobby: Room) -> None:
    tea = await log.create_room("Tea")
    for name in ("Anton", "ann", "Ann-Marie", "Bob", "Żaneta", "用户"):
        await say(log, lobby, await log.take_name(None, name, "UTC", HELD_DAYS), "hello")
    await say(log, tea, await log.take_name(None, "Anatol", "UTC", HELD_DAYS), "hello")
    await log.take_name(None, "Annika", "UTC", HELD_DAYS)  # who has not said anything
    assert await names(log, lobby, "an") == ["ann", "Anton", "Ann-Marie"]
    assert await names(log, lobby, "an", "用", "ż") == ["用户", "ann", "Anton", "Żaneta", "Ann-Marie"]
    assert await names(log, lobby, "an", most=1) == ["ann"]
    assert await names(log, tea, "an") == ["Anatol"]
    assert await names(log, lobby, "%", "_", "") != []
    assert await names(log, lobby, "%", "_") == []


async def test_repeated_messages_make_one_membership(log: Store, ann: Member, lobby: Room) -> None:
    for number in range(3):
        await say(log, lobby, ann, f"{number}")
    assert await log._read(lambda connection: count(connection, tables.memberships)) == 1


async def test_a_removed_room_has_neither_mentions_nor_members(log: Store, ann: Member, lobby: Room) -> None:
    tea = await log.create_room("Tea")
    await say(log, tea, ann, "@ann", of(ann, "ann"))

    def remove(connection: Connection) -> int:
        room_queries.close_room(connection, tea.slug)
        room_queries.erase_messages(connection, tea.id, BATCH)
        room_queries.erase_room(connection, tea.id)
        return count(connection, tables.mentions) + count(connection, tables.memberships)

    assert await log._write(remove) == 0


async def test_reactions_mentions_and_quotes_take_one_query_each(
    log: Store, ann: Member, bob: Member, lobby: Room
) -> None:
    """However many messages have changed: messages, reactions, mentions and quotes."""
    for number in range(20):
        await say(log, lobby, ann, f"@bob {number}", of(bob, "bob"))
    for number in range(1, 21):
        await log.change(Request(lobby.id, number, ann, Edit(f"@bob again {number}", (of(bob, "bob"),)), None))
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        changes = await log.changes(lobby.id, 20, NEWEST, 500)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert len(changes.changed) == 20
    assert len(statements) == len({statement[:200] for statement in statements}) <= 4
