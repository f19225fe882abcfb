"""Versions of sessions, names that were given up, names of rooms that are their own, and rooms that were removed.

Cookies that are out there are of the first version, which everybody's session has: they count on. Of rooms whose names
are the same or look alike the oldest has the name, and the others stay as they are, with their addresses.
"""

import sqlalchemy as sa
from alembic import op

from app.chat.names import name_key, skeleton

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROOMS = sa.table("rooms", *map(sa.column, ("id", "name", "name_key", "name_skeleton")))


def upgrade() -> None:
    op.add_column("members", sa.Column("session", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "former_names",
        sa.Column("member_id", sa.String(32), nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("name_skeleton", sa.Text, nullable=False),
        sa.Column("given_up_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("member_id", "name_key", name="pk_former_names"),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name="fk_former_names_member_id_members"),
    )
    op.create_index("ix_former_names_name_key", "former_names", ["name_key"])
    op.create_index("ix_former_names_name_skeleton", "former_names", ["name_skeleton"])
    op.create_table(
        "removed_rooms",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("slug", sa.String(80), nullable=False),
        sa.Column("removal", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_removed_rooms"),
        sa.UniqueConstraint("slug", name="uq_removed_rooms_slug"),
        sa.UniqueConstraint("removal", name="uq_removed_rooms_removal"),
    )
    op.add_column("rooms", sa.Column("name_key", sa.Text))
    op.add_column("rooms", sa.Column("name_skeleton", sa.Text))
    _name_rooms()
    op.create_index("ix_rooms_name_key", "rooms", ["name_key"], unique=True)
    op.create_index("ix_rooms_name_skeleton", "rooms", ["name_skeleton"], unique=True)


def _name_rooms() -> None:
    taken = set[tuple[str, str]]()
    for room_id, name in op.get_bind().execute(sa.select(ROOMS.c.id, ROOMS.c.name).order_by(ROOMS.c.id)).all():
        keys = {"name_key": name_key(name), "name_skeleton": skeleton(name)}
        if taken.isdisjoint(keys.items()):
            op.execute(sa.update(ROOMS).where(ROOMS.c.id == room_id).values(keys))
            taken.update(keys.items())


def downgrade() -> None:
    for index in ("ix_rooms_name_skeleton", "ix_rooms_name_key"):
        op.drop_index(index, "rooms")
    op.drop_column("rooms", "name_skeleton")
    op.drop_column("rooms", "name_key")
    op.drop_table("removed_rooms")
    op.drop_table("former_names")
    op.drop_column("members", "session")
