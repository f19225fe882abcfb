"""The tables. Migrations create them; only the store and operations use them.

Times are whole milliseconds since 1970 in UTC: the same on every engine, without conversion.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

metadata = MetaData(
    naming_convention={
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row. The epoch is new whenever the log is, so that a cursor into another log is recognised.
log = Table(
    "log",
    metadata,
    Column("epoch", String(32), primary_key=True),
    # Counts renamings. A renaming locks this row first, so that they are numbered in commit order.
    Column("renamings", BigInteger, nullable=False, server_default="0"),
    # The keys for cookies of several processes, a line each, the oldest first, unless a setting has one.
    Column("keys", Text),
)

members = Table(
    "members",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    # The keys of equality and of look-alikes; null once another member has taken the name over.
    # In the order of code points on PostgreSQL, too, so that its index finds the names that begin so.
    Column("name_key", Text().with_variant(Text(collation="C"), "postgresql"), unique=True),
    Column("name_skeleton", Text),
    Column("time_zone", Text, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    # The number of their last renaming, so that a process can ask for later ones.
    Column("renaming", BigInteger),
    # The version of their session. Renaming and signing out raise it, which invalidates older cookies.
    Column("session", BigInteger, nullable=False, server_default="0"),
    Index("ix_members_renaming", "renaming"),
    Index("ix_members_name_skeleton", "name_skeleton", unique=True),
)

# Names that members have given up, and that are held for them for a while.
former_names = Table(
    "former_names",
    metadata,
    Column("member_id", String(32), ForeignKey(members.c.id), primary_key=True),
    Column("name_key", Text, primary_key=True),
    Column("name_skeleton", Text, nullable=False),
    Column("given_up_at", BigInteger, nullable=False),
    Index("ix_former_names_name_key", "name_key"),
    Index("ix_former_names_name_skeleton", "name_skeleton"),
)

# Removed rooms. Their ids and addresses are never reused: an old page must not lead to another room.
removed_rooms = Table(
    "removed_rooms",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("slug", String(80), nullable=False, unique=True),
    # Counts the removals in commit order, so that a process can ask which rooms were removed since.
    Column("removal", BigInteger, nullable=False, unique=True),
)

rooms = Table(
    "rooms",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("slug", String(80), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    # As for members; null in an older room whose name another room has.
    Column("name_key", Text),
    Column("name_skeleton", Text),
    # The position of the newest change. A writer locks this row first, so positions are gapless and in commit
    # order. Numbers of a sequence are neither, and a cursor would miss a late commit.
    Column("position", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_rooms_name_key", "name_key", unique=True),
    Index("ix_rooms_name_skeleton", "name_skeleton", unique=True),
)

messages = Table(
    "messages",
    metadata,
    Column("room_id", Integer, ForeignKey(rooms.c.id), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("author_id", String(32), ForeignKey(members.c.id), nullable=False),
    Column("author_name", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # SHA-256 over author, key and body: the same submission, however often it comes, is one message.
    Column("submission", LargeBinary(32), nullable=False),
    # The position of the last change; null, and not in the index, while there was none: most never change.
    Column("changed", BigInteger),
    # The position of the message that this one replies to.
    Column("reply_to", BigInteger),
    Column("edited_at", BigInteger),
    Column("deleted_at", BigInteger),
    UniqueConstraint("room_id", "submission"),
)
_has_changed = messages.c.changed.is_not(None)
Index(
    "ix_messages_changed",
    messages.c.room_id,
    messages.c.changed,
    sqlite_where=_has_changed,
    postgresql_where=_has_changed,
)


def _message() -> ForeignKeyConstraint:
    """Return the reference to a message. What belongs to it goes with it."""
    return ForeignKeyConstraint(["room_id", "position"], [messages.c.room_id, messages.c.position], ondelete="CASCADE")


# Earlier texts of edited messages, each with the position of the change that replaced it.
versions = Table(
    "versions",
    metadata,
    Column("room_id", Integer, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("changed", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("replaced_at", BigInteger, nullable=False),
    _message(),
)

reactions = Table(
    "reactions",
    metadata,
    Column("room_id", Integer, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("emoji", Text, primary_key=True),
    Column("member_id", String(32), ForeignKey(members.c.id), primary_key=True),
    Column("member_name", Text, nullable=False),
    # The position of the change that put it there.
    Column("added", BigInteger, nullable=False),
    _message(),
)

# Whom a message means. Not only a member's id stands here: also `EVERYBODY`.
mentions = Table(
    "mentions",
    metadata,
    Column("room_id", Integer, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("written", Text, primary_key=True),
    Column("member_id", String(32), nullable=False),
    Column("member_name", Text, nullable=False),
    _message(),
)

# What is searched: the words of each message (chat/search.py), and by `id` in the order in which they were said. On
# SQLite triggers keep the full-text table `search_words` the same, which has no text of its own.
search_index = Table(
    "search_index",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("room_id", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("words", Text().with_variant(TSVECTOR(), "postgresql"), nullable=False),
    UniqueConstraint("room_id", "position"),
    _message(),
)
Index("ix_search_index_words", search_index.c.words, postgresql_using="gin").ddl_if("postgresql")

# The members of a room: a member joins it by writing.
memberships = Table(
    "memberships",
    metadata,
    Column("room_id", Integer, ForeignKey(rooms.c.id, ondelete="CASCADE"), primary_key=True),
    Column("member_id", String(32), ForeignKey(members.c.id), primary_key=True),
    Index("ix_memberships_member_id", "member_id"),
)

# Tables that processes share on PostgreSQL. They are unlogged, because they are worth nothing after a crash, and
# its times are by the database's clock alone.
shared = MetaData(naming_convention=metadata.naming_convention)
UNLOGGED = ["UNLOGGED"]

processes = Table(
    "processes",
    shared,
    Column("id", String(32), primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    prefixes=UNLOGGED,
)

# The members present in a room, per process.
attendance = Table(
    "attendance",
    shared,
    Column("room_id", Integer, primary_key=True),
    Column("process_id", String(32), primary_key=True),
    Column("member_id", String(32), primary_key=True),
    Index("ix_attendance_process_id", "process_id"),
    prefixes=UNLOGGED,
)

# A room's version is another, and a higher one, whenever its attendance has changed.
presence = Table(
    "presence",
    shared,
    Column("room_id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    prefixes=UNLOGGED,
)

# Token buckets that hold for all processes. When one is full again says how full it is now.
buckets = Table(
    "buckets",
    shared,
    Column("id", Text, primary_key=True),
    Column("full_at", Double, nullable=False),  # in seconds since 1970
    Column("cost", Double, nullable=False),  # seconds in which a token comes back
    Column("burst", Double, nullable=False),
    Column("granted", Double, nullable=False),  # to the last request
    Index("ix_buckets_full_at", "full_at"),
    prefixes=UNLOGGED,
)

# Open drafts that their pages still hold open.
drafts = Table(
    "drafts",
    shared,
    Column("author_id", String(32), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("said_at", DateTime(timezone=True), nullable=False),
    Index("ix_drafts_said_at", "said_at"),
    prefixes=UNLOGGED,
)
