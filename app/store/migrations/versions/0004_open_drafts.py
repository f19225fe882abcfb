"""What was said of drafts that are still open, for the process to which their page may come back."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_table(
            "drafts",
            sa.Column("author_id", sa.String(32), nullable=False),
            sa.Column("key", sa.Text, nullable=False),
            sa.Column("body", sa.Text, nullable=False),
            sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
            sa.PrimaryKeyConstraint("author_id", "key", name="pk_drafts"),
            prefixes=["UNLOGGED"],
        )
        op.create_index("ix_drafts_said_at", "drafts", ["said_at"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_table("drafts")
