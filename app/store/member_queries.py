"""Queries of members: plain functions of a connection, each for one transaction.

Times are whole milliseconds since 1970 in UTC, as in the tables.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)

from app.chat.messages import Member
from app.store.errors import NameUnavailable, SessionOutdated
from app.store.tables import former_names, log, members, memberships

LAST = "\U0010ffff"  # no name's key goes further
_MEMBERS = select(members).where(members.c.id.in_(bindparam("ids", expanding=True)))


def find_members(connection: Connection, member_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Return the rows of existing members, by id."""
    return {row.id: row for row in connection.execute(_MEMBERS, {"ids": member_ids})}


def members_called(connection: Connection, room_id: int | None, beginnings: Collection[str], most: int) -> list[Member]:
    """Return up to `most` members whose names begin with one of these keys, the shortest names first.

    They are those of a room, or of all (None).
    """
    key = members.c.name_key
    called = or_(*(and_(key >= beginning, key < beginning + LAST) for beginning in beginnings))
    found = select(members).where(called)
    if room_id is not None:
        found = found.join(memberships).where(memberships.c.room_id == room_id)
    rows = connection.execute(found.order_by(func.length(key), key).limit(most))
    return [Member(row.id, row.name, row.time_zone, row.session) for row in rows]


def rooms_of(connection: Connection, member_ids: Sequence[str]) -> list[int]:
    """Return the ids of the rooms that any of these members belongs to."""
    query = select(memberships.c.room_id).where(memberships.c.member_id.in_(member_ids)).distinct()
    return list(connection.scalars(query))


def note_visits(connection: Connection, member_ids: Sequence[str], now: int) -> None:
    """Note that these members were here `now`."""
    connection.execute(update(members).where(members.c.id.in_(member_ids)).values(seen_at=now))


def save_member(
    connection: Connection, member: Member, is_new: bool, keys: Mapping[str, str], unseen_since: int, now: int
) -> int:
    """Store `member`, whose name has these `keys`; take them from a member not seen since `unseen_since`.

    Returns the number of the renaming, 0 if it is none. Raises `IntegrityError` where others have the keys,
    `NameUnavailable` where they gave them up after `unseen_since`, and `SessionOutdated` where the session is another.
    """
    renaming = 0 if is_new else _next_renaming(connection)
    abandoned = (_have_either(keys), members.c.seen_at < unseen_since)
    connection.execute(update(members).where(*abandoned).values(dict.fromkeys(keys)))
    values = {"name": member.name, **keys, "time_zone": member.time_zone, "seen_at": now}
    if is_new:
        connection.execute(insert(members).values(id=member.id, **values))
    else:
        _hold_name(connection, member, keys, now)
        renew = update(members).where(members.c.id == member.id, members.c.session == member.session)
        if not connection.execute(renew.values(renaming=renaming, session=renaming, **values)).rowcount:
            raise SessionOutdated
    # After the name is stored: nobody can give it up at the same moment any more.
    theirs = (_have_either(keys, former_names), former_names.c.member_id != member.id)
    if connection.scalar(select(former_names.c.member_id).where(*theirs, former_names.c.given_up_at >= unseen_since)):
        raise NameUnavailable
    connection.execute(delete(former_names).where(_have_either(keys, former_names)))
    return renaming


def _hold_name(connection: Connection, member: Member, keys: Mapping[str, str], now: int) -> None:
    """Hold for `member` the name that they have, which they give up for one with these `keys`."""
    had = (members.c.id, members.c.name_key, members.c.name_skeleton)
    _, key, look = connection.execute(select(*had).where(members.c.id == member.id)).one_or_none() or (None,) * 3
    if key is None or look is None or key == keys["name_key"]:
        return
    held = former_names.c
    connection.execute(delete(former_names).where(held.member_id == member.id, held.name_key == key))
    values = {"member_id": member.id, "name_key": key, "name_skeleton": look, "given_up_at": now}
    connection.execute(insert(former_names).values(values))


def end_session(connection: Connection, member: Member) -> int:
    """End the session of `member` wherever it is open, and return the number of this change.

    Raises `SessionOutdated` where their session is another by now.
    """
    renaming = _next_renaming(connection)
    end = update(members).where(members.c.id == member.id, members.c.session == member.session)
    if not connection.execute(end.values(renaming=renaming, session=renaming)).rowcount:
        raise SessionOutdated
    return renaming


def _next_renaming(connection: Connection) -> int:
    numbered = update(log).values(renamings=log.c.renamings + 1).returning(log.c.renamings)
    return int(connection.execute(numbered).scalar_one())


def renamed_since(connection: Connection, renaming: int) -> tuple[int, list[Member]]:
    """Return the number of the last renaming, and the members renamed after `renaming`, as they are now."""
    last = connection.execute(select(log.c.renamings)).scalar_one()
    rows = connection.execute(select(members).where(members.c.renaming > renaming))
    return int(last), [Member(row.id, row.name, row.time_zone, row.session) for row in rows]


def others_with(connection: Connection, keys: Mapping[str, str], member_id: str) -> list[str]:
    """Return the name keys of other members who have, or gave up, a name with either of `keys`."""
    theirs = (_have_either(keys), members.c.id != member_id)
    former = (_have_either(keys, former_names), former_names.c.member_id != member_id)
    found = union_all(select(members.c.name_key).where(*theirs), select(former_names.c.name_key).where(*former))
    return list(connection.scalars(found))


def _have_either(keys: Mapping[str, str], table: Table = members) -> ColumnElement[bool]:
    return or_(*(table.c[column] == key for column, key in keys.items()))
