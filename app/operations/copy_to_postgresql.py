"""Copies a log from a SQLite file to PostgreSQL: all of it, compared, or nothing.

Positions, epoch and idempotency keys stay, so open pages resume and repeated submissions are recognised.
"""

from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, select, union_all

from app.operations.commands import CommandError, alone, file_of
from app.operations.migrating import upgrade
from app.operations.sqlite_file import locked, opened
from app.settings import Settings
from app.store import migrations
from app.store.log_queries import signing_keys, totals
from app.store.search_queries import index_all
from app.store.tables import metadata, removed_rooms, rooms, search_index

CHUNK = 500  # rows, of which each may have 80 kB: what is in memory at once


def copy(settings: Settings, target: str, file: Path | None = None) -> Iterator[str]:
    """Copy the log in `file`, or in the configured one, into the empty database at the URL `target`.

    Yields what was done. Raises `CommandError`, `OSError` and what SQLAlchemy raises; nothing was copied then.
    """
    source = file or file_of(settings.store_url)
    if source is None:
        raise CommandError("The settings lead to PostgreSQL already. Say which file to copy with --from FILE.")
    kind, _, address = target.partition("://")
    if kind not in ("postgres", "postgresql"):
        raise CommandError("Copies go to PostgreSQL: --to postgresql://name@host/database")
    if not source.exists():
        raise CommandError(f"There is no database at {source}.")
    with locked(source), opened(source) as here:
        here.exec_driver_sql("BEGIN")  # from here on, one moment is read
        if migrations.revision(here) != migrations.revisions()[0]:
            raise CommandError(f"{source} is not at the newest revision. Migrate it first (migrate).")
        yield from alone(f"postgresql://{address}", partial(fill, source=here, key=_key(settings)))
        yield f"All of {source} is there: {totals(here)}. Set PARLOR_DATABASE_URL, and put the file away."


def _key(settings: Settings) -> str:
    """Return what is in the key file; nothing where there is none, or the key is set."""
    path = settings.key_file
    return path.read_text() if path.exists() and not settings.secret_key else ""


def fill(target: Connection, source: Connection, key: str) -> list[str]:
    """Copy all that lasts from `source` to `target`, compare, and return what was copied, a sentence each.

    On PostgreSQL the `key` is in the database, too: whichever process starts first shall have it.
    """
    upgrade(target)
    for table in metadata.sorted_tables:
        if target.scalar(select(func.count()).select_from(table)):
            raise CommandError(f"There is something in the table {table.name} already. Copy into a new database.")
    # The search index has another form there, and is made from the messages.
    copied = [_copy_table(source, target, table) for table in metadata.sorted_tables if table is not search_index]
    index_all(target)
    copied.append("The search index was built anew.")
    if key:
        signing_keys(target, key)
        copied.append("The key that signs the cookies is in the database now.")
    return copied


def _copy_table(source: Connection, target: Connection, table: Table) -> str:
    sent = Digest()
    for rows in _chunks(source, table):
        sent.add(rows)
        target.execute(insert(table), [dict(row._mapping) for row in rows])
    if (column := table.autoincrement_column) is not None:
        # Else the next row would be given a number that is taken.
        sequence = func.pg_get_serial_sequence(table.name, column.name)
        # Nor may a room have the number of one that was removed.
        numbers = union_all(select(func.max(column)), *([select(func.max(removed_rooms.c.id))] * (table is rooms)))
        last = max((number for number in source.scalars(numbers) if number), default=1)
        target.execute(select(func.setval(sequence, last)))
    arrived = Digest()
    for rows in _chunks(target, table):
        arrived.add(rows)
    if str(sent) != str(arrived):
        raise CommandError(f"Of table {table.name}, {sent} were sent, and {arrived} arrived. Nothing was copied.")
    return f"{table.name}: {arrived}, the same on both sides."


def _chunks(connection: Connection, table: Table) -> Iterator[list[Row[Any]]]:
    for rows in connection.execute(select(table).execution_options(yield_per=CHUNK)).partitions():
        yield list(rows)


class Digest:
    """What stands for all rows of a table, in whichever order they come: their number, and the sum of their hashes."""

    def __init__(self) -> None:
        self._rows = 0
        self._sum = 0

    def add(self, rows: list[Row[Any]]) -> None:
        """Count these rows in."""
        self._rows += len(rows)
        for row in rows:
            self._sum += int.from_bytes(sha256(repr(tuple(row)).encode()).digest())
        self._sum %= 2**256

    def __str__(self) -> str:
        return f"{self._rows:,} rows ({self._sum:064x})"
