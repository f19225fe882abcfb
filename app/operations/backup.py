"""A backup: everything that was committed up to one moment, and the key that signs the cookies.

It is one file; SQLite has its key in another beside it. A backup runs beside the server, and nobody waits for it.
"""

from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

from app.operations import pg_dump, sqlite_file
from app.operations.commands import CommandError, file_of
from app.operations.sqlite_file import draft_of, opened
from app.settings import Settings
from app.store.log_queries import totals

KEY_ENDING = ".key"


def backup(settings: Settings, file: Path, force: bool) -> Iterator[str]:
    """Write a backup into `file`, and a key file beside it, for their owner alone to read; yields what was done.

    Raises `CommandError`, also where either is there and not to be replaced by `force`; and `OSError`.
    """
    for path in (file, key_beside(file)):
        if path.exists() and not force:
            raise CommandError(f"{path} is there already. Choose another name, or replace it with --force.")
    source = file_of(settings.store_url)
    yield _back_up_file(source, file) if source else _back_up_server(settings.store_url, file)
    yield _back_up_key(settings, key_beside(file))


def key_beside(file: Path) -> Path:
    """Return where the key of the backup in `file` is."""
    return file.with_name(file.name + KEY_ENDING)


def _back_up_file(source: Path, file: Path) -> str:
    if not source.exists():
        raise CommandError(f"There is no database at {source}.")
    if file.exists() and file.samefile(source):
        raise CommandError(f"{file} is the database itself. Choose another name for the backup.")
    with draft_of(file) as draft:
        sqlite_file.copy(source, draft)
        sqlite_file.check(draft, f"The copy of {source}")
        with opened(draft) as connection:
            found = totals(connection)
    return f"{file}: {found}; {file.stat().st_size:,} bytes, checked."


def _back_up_server(url: str, file: Path) -> str:
    with draft_of(file) as draft:
        pg_dump.dump(url, draft)
        pg_dump.check(draft)
    return f"{file}: {file.stat().st_size:,} bytes, written and read again by PostgreSQL's own programs."


def _back_up_key(settings: Settings, key: Path) -> str:
    if settings.secret_key:
        return "The key is set by PARLOR_SECRET_KEY: keep it as well. Without it, everybody needs a new name."
    if settings.is_shared:
        return "The key that signs the cookies is in it: who can read it can be anybody."
    if not settings.key_file.exists():
        return f"There is no key at {settings.key_file}, and none in the backup."
    with draft_of(key) as draft:
        copyfile(settings.key_file, draft)
    return f"{key}: the key that signs the cookies. Who can read it can be anybody."
