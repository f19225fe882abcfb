"""The keys that sign cookies: set, in the key file, or in a shared database."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from stat import S_IROTH, S_IWOTH
from tempfile import mkstemp

import structlog

from app.settings import Settings
from app.store.store import Store

log = structlog.get_logger("parlor")


def own_keys(settings: Settings) -> list[str]:
    """Return the keys that sign cookies: the setting's, or those in the key file; none if they are shared."""
    if settings.secret_key:
        return [settings.secret_key.get_secret_value()]
    if settings.is_shared:
        return []
    found = read_keys(settings.key_file)
    if is_open_to_others(settings.key_file):
        # No reason not to start: the mode of a mounted secret cannot always be chosen.
        log.warning("others can read the key", path=str(settings.key_file), remedy="chmod 600")
    return found


async def shared_keys(settings: Settings, store: Store) -> list[str]:
    """Return the keys in the database, which sign for all processes; the first process stores them.

    They are those in its key file, if it has one: who comes from SQLite keeps everybody's name.
    """
    made = settings.key_file.read_text() if settings.key_file.exists() else new_key()
    return split_keys(await store.signing_keys(made))


def read_keys(path: Path) -> list[str]:
    """Return the keys in the file at `path`, oldest first; create the file with a new key if there is none.

    One key a line: to change the key, add a line; to stop accepting the old one, remove its line. Raises
    `ValueError` where the file has none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make_key(path)
    keys = split_keys(path.read_text())
    if not keys:
        raise ValueError(f"there is no key in {path}: remove the file, and a new one is made")
    return keys


def split_keys(text: str) -> list[str]:
    """Return the keys in `text`, a line each."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def new_key() -> str:
    """Return a new random key."""
    return token_urlsafe(32)


def is_open_to_others(path: Path) -> bool:
    """Whether anybody on this machine may read the file at `path`, or write to it."""
    return os.name == "posix" and bool(path.stat().st_mode & (S_IROTH | S_IWOTH))


def _make_key(path: Path) -> None:
    # Written beside its place and then linked to it: the file is there with its key in it, or not at all, and
    # a process that starts at the same moment takes the first one. mkstemp makes it readable for its owner only (600).
    handle, draft = mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(new_key() + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
