"""What several processes need to know of each other. A process that is alone, on SQLite, has it all in memory."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("log", sa.Column("renamings", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("log", sa.Column("keys", sa.Text))
    op.add_column("members", sa.Column("renaming", sa.BigInteger))
    op.create_index("ix_members_renaming", "members", ["renaming"])
    if op.get_bind().dialect.name == "postgresql":
        _make_shared_tables()


def _make_shared_tables() -> None:
    # Unlogged: none of it outlives a crash, and none of it waits for the disk.
    op.create_table(
        "processes",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_processes"),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "attendance",
        sa.Column("room_id", sa.Integer, nullable=False),
        sa.Column("process_id", sa.String(32), nullable=False),
        sa.Column("member_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("room_id", "process_id", "member_id", name="pk_attendance"),
        prefixes=["UNLOGGED"],
    )
    op.create_index("ix_attendance_process_id", "attendance", ["process_id"])
    op.create_table(
        "presence",
        sa.Column("room_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("room_id", name="pk_presence"),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "buckets",
        sa.Column("id", sa.Text, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("full_at", "cost", "burst", "granted")),
        sa.PrimaryKeyConstraint("id", name="pk_buckets"),
        prefixes=["UNLOGGED"],
    )
    op.create_index("ix_buckets_full_at", "buckets", ["full_at"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in ("buckets", "presence", "attendance", "processes"):
            op.drop_table(table)
    op.drop_index("ix_members_renaming", "members")
    op.drop_column("members", "renaming")
    op.drop_column("log", "keys")
    op.drop_column("log", "renamings")
