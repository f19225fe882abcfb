"""Mentions, and the members of a room: those who have written in it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mentions",
        sa.Column("room_id", sa.Integer, nullable=False),
        sa.Column("position", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("written", sa.Text, nullable=False),
        sa.Column("member_id", sa.String(32), nullable=False),
        sa.Column("member_name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("room_id", "position", "written", name="pk_mentions"),
        sa.ForeignKeyConstraint(
            ["room_id", "position"],
            ["messages.room_id", "messages.position"],
            name="fk_mentions_room_id_messages",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "memberships",
        sa.Column("room_id", sa.Integer, nullable=False),
        sa.Column("member_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("room_id", "member_id", name="pk_memberships"),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_memberships_room_id_rooms", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name="fk_memberships_member_id_members"),
    )
    op.create_index("ix_memberships_member_id", "memberships", ["member_id"])
    op.execute("INSERT INTO memberships (room_id, member_id) SELECT DISTINCT room_id, author_id FROM messages")
    _collate("C")


def downgrade() -> None:
    _collate("default")
    op.drop_table("memberships")
    op.drop_table("mentions")


def _collate(collation: str) -> None:
    """Have the names' keys in this order. SQLite has that of code points already."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f'ALTER TABLE members ALTER COLUMN name_key TYPE text COLLATE "{collation}"')
