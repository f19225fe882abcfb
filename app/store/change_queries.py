"""Changes messages: edits, deletions, reactions. Plain functions of a connection, each for one transaction.

What a change comes to is said in `chat/changes.py`. A room's row is locked first, as for an append, so nothing else
happens in it meanwhile.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Connection, Table, bindparam, delete, insert, update

from app.chat.changes import Act, Change, apply
from app.chat.messages import Member, Message, Reactor, Refused
from app.chat.quotes import requoted
from app.chat.timeline import Changes
from app.store import message_queries
from app.store.append_queries import MENTION, advance, mention_rows
from app.store.message_queries import milliseconds, moment
from app.store.search_queries import reindex
from app.store.tables import mentions, messages, reactions, versions


class Request(NamedTuple):
    """A change of the message at `position` that is asked for. `window` is how long a message can be edited."""

    room_id: int
    position: int
    member: Member
    change: Change
    window: timedelta | None


class Made(NamedTuple):
    """What became of a batch in one room: what it changed and, for each request, the message or why it was refused."""

    changes: Changes
    results: list[Message | Refused]


# Made once: to put a statement together takes several times as long as to run it.

_KEY: dict[str, BindParameter[int]] = {"room_id": bindparam("room"), "position": bindparam("of")}


def _of_message(table: Table) -> tuple[ColumnElement[bool], ...]:
    return tuple(table.c[name] == value for name, value in _KEY.items())


_UPDATE = update(messages).where(*_of_message(messages))
_FORGET_MENTIONS = delete(mentions).where(*_of_message(mentions))
_FORGET_VERSIONS = delete(versions).where(*_of_message(versions))
_UNREACT = delete(reactions).where(
    *_of_message(reactions), reactions.c.emoji == bindparam("with"), reactions.c.member_id == bindparam("by")
)


def make(connection: Connection, requests: Iterable[Request], now: int) -> dict[int, Made]:
    """Make the changes that are asked for, dated `now`, in order, and return what became of them by room."""
    by_room: dict[int, list[Request]] = {}
    for request in requests:
        by_room.setdefault(request.room_id, []).append(request)
    # Rooms in one order, so that two processes never wait for each other's rows.
    return {room_id: _make(connection, room_id, by_room[room_id], now) for room_id in sorted(by_room)}


def _make(connection: Connection, room_id: int, requests: Sequence[Request], now: int) -> Made:
    head = position = advance(connection, room_id, 0)
    found = message_queries.at(connection, room_id, {request.position for request in requests})
    before = {message.position: message for message in found}
    after = dict(before)
    steps: list[tuple[Message, Message]] = []
    results: list[Message | Refused] = []
    for request in requests:
        try:
            changed = _apply(request, after, Act(request.member, request.change, moment(now), position + 1))
        except Refused as refusal:
            results.append(refusal)
            continue
        if changed.changed > position:
            position += 1
            steps.append((after[request.position], changed))
            after[request.position] = changed
        results.append(changed)
    if steps:
        advance(connection, room_id, len(steps))
    last = sorted((each for each in after.values() if each.changed > head), key=lambda message: message.changed)
    last = [requoted(each, after.get(each.reply.position)) if each.reply else each for each in last]
    if last:
        _save(connection, room_id, [(before[message.position], message) for message in last], now)
        _save_versions(connection, room_id, steps, now)
    return Made(Changes(head, position, (), last), results)


def _apply(request: Request, found: Mapping[int, Message], act: Act) -> Message:
    if request.position not in found:
        raise Refused("no-message", "This message does not exist.")
    return apply(act, found[request.position], request.window)


def _save(connection: Connection, room_id: int, pairs: Iterable[tuple[Message, Message]], now: int) -> None:
    """Bring messages, each as it was and as it is, up to date, with their reactions and mentions."""
    pairs = list(pairs)
    rows: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    removed: list[dict[str, Any]] = []
    for before, after in pairs:
        key = {"room": room_id, "of": after.position}
        rows.append(
            {
                **key,
                "body": after.body,
                "changed": after.changed,
                "edited_at": milliseconds(after.edited_at) if after.edited_at else None,
                "deleted_at": now if after.is_deleted else None,
            }
        )
        had, has = _reactors(before), _reactors(after)
        added += [
            {
                "room_id": room_id,
                "position": after.position,
                "emoji": emoji,
                "member_id": each.id,
                "member_name": each.name,
                "added": each.position,
            }
            for emoji, each in has - had
        ]
        removed += [{**key, "with": emoji, "by": each.id} for emoji, each in had - has]
    connection.execute(_UPDATE, rows)
    # A reaction that was taken back and put there again is removed first.
    if removed:
        connection.execute(_UNREACT, removed)
    if added:
        connection.execute(insert(reactions), added)
    reindex(connection, room_id, [after for before, after in pairs if after.body != before.body])
    _save_mentions(connection, room_id, [after for before, after in pairs if after.mentions != before.mentions])


def _save_mentions(connection: Connection, room_id: int, changed: Sequence[Message]) -> None:
    if changed:
        connection.execute(_FORGET_MENTIONS, [{"room": room_id, "of": message.position} for message in changed])
    if rows := [row for message in changed for row in mention_rows(room_id, message)]:
        connection.execute(MENTION, rows)


def _reactors(message: Message) -> set[tuple[str, Reactor]]:
    return {(reaction.emoji, reactor) for reaction in message.reactions for reactor in reaction.by}


def _save_versions(connection: Connection, room_id: int, steps: Iterable[tuple[Message, Message]], now: int) -> None:
    """Keep the texts that were replaced, and those of no message that was deleted."""
    kept: dict[int, list[dict[str, Any]]] = {}
    deleted: list[dict[str, Any]] = []
    for before, after in steps:
        if after.is_deleted:
            kept.pop(after.position, None)
            deleted.append({"room": room_id, "of": after.position})
        elif after.body != before.body:
            version = {"room_id": room_id, "position": after.position, "changed": after.changed, "body": before.body}
            kept.setdefault(after.position, []).append({**version, "replaced_at": now})
    if deleted:
        connection.execute(_FORGET_VERSIONS, deleted)
    if kept:
        connection.execute(insert(versions), [version for each in kept.values() for version in each])
