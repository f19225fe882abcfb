"""A SQLite file as a whole: copied while in use, checked, replaced."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import mkstemp
from urllib.parse import quote

from sqlalchemy import URL, Connection, NullPool, create_engine
from sqlalchemy.exc import DatabaseError

from app.operations.commands import CommandError, reason
from app.store.sqlite import lock

BESIDE = ("", "-wal", "-shm")  # what the names of a database's files end in


@contextmanager
def opened(path: Path, mode: str = "rw") -> Iterator[Connection]:
    """Give a connection to the file at `path`; only the `mode` "rwc" makes it where it is not there.

    It has no transaction but those that it is told to begin. Raises what SQLAlchemy raises.
    """
    url = URL.create("sqlite", database=f"file:{quote(str(path))}", query={"mode": mode, "uri": "true"})
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True)
    with engine.connect() as connection:
        yield connection


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep servers from the database at `path`, which need not be there; raises `OSError` where one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock(str(path)) or nullcontext():
        yield


def copy(source: Path, target: Path) -> None:
    """Copy the database at `source`, as of this moment, into the file `target`. No user of it waits."""
    with opened(source) as here, opened(target, "rwc") as there:
        here.connection.driver_connection.backup(there.connection.driver_connection)  # type: ignore[union-attr]
        # One file alone: with a log of its own beside it, it would be half of a backup.
        there.exec_driver_sql("PRAGMA journal_mode=DELETE")


def check(path: Path, called: str) -> None:
    """Return where the database at `path` is whole; raises `CommandError` where it is damaged, or none at all."""
    try:
        with opened(path, "ro") as connection:
            complaints = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    except DatabaseError as error:
        raise CommandError(f"{called} cannot be read as a SQLite database: {reason(error)}.") from error
    if complaints != ["ok"]:
        raise CommandError(f"{called} is damaged: {complaints[0]}.")


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Give a new file, its owner's alone (600), which takes the place of `path` at the end, unless anything fails."""
    handle, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        draft.replace(path)
        _sync_folder(path.parent)
    finally:
        for ending in (*BESIDE, "-journal"):
            with suppress(FileNotFoundError):
                Path(f"{draft}{ending}").unlink()


def put_aside(path: Path, ending: str) -> Path | None:
    """Give the database at `path` another name with `ending`, and return that; None if there is no database."""
    if not path.exists():
        return None
    aside = path.with_name(f"{path.name}.{ending}")
    with suppress(DatabaseError), opened(path) as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # so that there is one file to move
    for suffix in BESIDE:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    return aside


def _sync_folder(folder: Path) -> None:
    """Put on the disk which files are in `folder`."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
