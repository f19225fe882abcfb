"""What makes the names of two members look alike. Of those who do already, the one seen last keeps the name."""

import sqlalchemy as sa
from alembic import op

from app.chat.names import skeleton

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MEMBERS = sa.table("members", *map(sa.column, ("id", "name", "name_key", "name_skeleton", "seen_at")))


def upgrade() -> None:
    op.add_column("members", sa.Column("name_skeleton", sa.Text))
    op.create_index("ix_members_name_skeleton", "members", ["name_skeleton"], unique=True)
    named = sa.select(MEMBERS.c.id, MEMBERS.c.name).where(MEMBERS.c.name_key.is_not(None))
    taken = set()
    for member_id, name in op.get_bind().execute(named.order_by(MEMBERS.c.seen_at.desc(), MEMBERS.c.id)).all():
        look = skeleton(name)
        values = {"name_key": None} if look in taken else {"name_skeleton": look}
        op.execute(sa.update(MEMBERS).where(MEMBERS.c.id == member_id).values(values))
        taken.add(look)


def downgrade() -> None:
    op.drop_index("ix_members_name_skeleton", "members")
    op.drop_column("members", "name_skeleton")
