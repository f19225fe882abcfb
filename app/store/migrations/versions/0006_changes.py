"""Messages that were edited or deleted, earlier versions of them, replies and reactions.

No message is rewritten: the new columns are null where nothing has changed, and their index is empty at first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = ("changed", "reply_to", "edited_at", "deleted_at")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("messages", sa.Column(name, sa.BigInteger))
    has_changed = sa.text("changed IS NOT NULL")
    op.create_index(
        "ix_messages_changed",
        "messages",
        ["room_id", "changed"],
        sqlite_where=has_changed,
        postgresql_where=has_changed,
    )
    op.create_table(
        "versions",
        sa.Column("room_id", sa.Integer, nullable=False),
        sa.Column("position", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("changed", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("replaced_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("room_id", "position", "changed", name="pk_versions"),
        _message("versions"),
    )
    op.create_table(
        "reactions",
        sa.Column("room_id", sa.Integer, nullable=False),
        sa.Column("position", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("emoji", sa.Text, nullable=False),
        sa.Column("member_id", sa.String(32), nullable=False),
        sa.Column("member_name", sa.Text, nullable=False),
        sa.Column("added", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("room_id", "position", "emoji", "member_id", name="pk_reactions"),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name="fk_reactions_member_id_members"),
        _message("reactions"),
    )


def _message(table: str) -> sa.ForeignKeyConstraint:
    key = ["room_id", "position"]
    name = f"fk_{table}_room_id_messages"
    return sa.ForeignKeyConstraint(key, [f"messages.{column}" for column in key], name=name, ondelete="CASCADE")


def downgrade() -> None:
    op.drop_table("reactions")
    op.drop_table("versions")
    op.drop_index("ix_messages_changed", "messages")
    for name in reversed(COLUMNS):
        op.drop_column("messages", name)
