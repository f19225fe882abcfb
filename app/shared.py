"""What processes share besides the log: how far everything has come, who is where, and how fast one may speak.

Plain functions of a connection to PostgreSQL, like `statements.py`. Times are by the database's clock, as of the
beginning of a statement.
"""

from collections.abc import Collection

from sqlalchemy import Connection, text

# By topic, as in `topics.py`.
_POSITIONS = text("""
SELECT 'room:' || id, position FROM rooms WHERE id = ANY(:rooms)
UNION ALL SELECT 'present:' || room_id, version FROM presence WHERE room_id = ANY(:rooms)
UNION ALL SELECT 'rooms', coalesce(max(id), 0) FROM rooms
UNION ALL SELECT 'names', renamings FROM log
""")


def positions(connection: Connection, room_ids: Collection[int]) -> dict[str, int]:
    """Return by topic how far everything has come, that of these rooms included."""
    rows = connection.execute(_POSITIONS, {"rooms": list(room_ids)})
    return {row[0]: row[1] for row in rows}
