"""The words of all messages, to be searched."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from app.store.search_queries import index_all

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# https://www.sqlite.org/fts5.html#external_content_tables
FULL_TEXT = """
CREATE VIRTUAL TABLE search_words
USING fts5(words, content='search_index', content_rowid='id', tokenize='ascii', columnsize=0)
"""
ADD = "INSERT INTO search_words (rowid, words) VALUES (new.id, new.words);"
REMOVE = "INSERT INTO search_words (search_words, rowid, words) VALUES ('delete', old.id, old.words);"
TRIGGERS = {"INSERT": ADD, "DELETE": REMOVE, "UPDATE OF words": REMOVE + ADD}


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "search_index",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("room_id", sa.Integer, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("words", sa.Text().with_variant(TSVECTOR(), "postgresql"), nullable=False),
        sa.UniqueConstraint("room_id", "position", name="uq_search_index_room_id_position"),
        sa.ForeignKeyConstraint(
            ["room_id", "position"],
            ["messages.room_id", "messages.position"],
            name="fk_search_index_room_id_messages",
            ondelete="CASCADE",
        ),
    )
    for statement in _full_text() if is_sqlite else ():
        op.execute(statement)
    index_all(op.get_bind())
    if not is_sqlite:
        op.create_index("ix_search_index_words", "search_index", ["words"], postgresql_using="gin")


def _full_text() -> Iterator[str]:
    yield FULL_TEXT
    # Segments are merged 16 at a time: with 4, the default, a message took a quarter longer.
    yield "INSERT INTO search_words (search_words, rank) VALUES ('automerge', 16)"
    for number, (event, act) in enumerate(TRIGGERS.items(), start=1):
        yield f"CREATE TRIGGER search_index_{number} AFTER {event} ON search_index BEGIN {act} END"


def downgrade() -> None:
    op.drop_table("search_index")
    op.execute("DROP TABLE IF EXISTS search_words")
