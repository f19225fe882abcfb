"""What is stored, and how. The migrations make these tables; `store.py` is all that reads and writes them.

Times are whole milliseconds since 1970 in UTC: the same on every engine, and nothing to convert by accident.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row. The epoch is new whenever the log is, so that a cursor into another log is recognised.
log = Table("log", metadata, Column("epoch", String(32), primary_key=True))

members = Table(
    "members",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    # What makes two names the same, and what makes them look alike; both null once another has taken the name over.
    Column("name_key", Text, unique=True),
    Column("name_skeleton", Text),
    Column("time_zone", Text, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Index("ix_members_name_skeleton", "name_skeleton", unique=True),
)

rooms = Table(
    "rooms",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("slug", String(80), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    # The position of the newest message. Whoever appends takes this row first, so positions are gapless and
    # in commit order; a sequence's are neither, and a cursor would step over what commits late.
    Column("position", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
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
    UniqueConstraint("room_id", "submission"),
)
