"""What the commands share: how they fail, and how they open the database."""

import asyncio
import os
from pathlib import Path

from sqlalchemy import make_url

from app.store.engines import open_engine
from app.store.work import Result, Work

LOCK_WAIT = 5.0  # seconds, for others who write to a SQLite file


class CommandError(Exception):
    """A command does not do what it was asked for. The text says in a line why, and what to do about it."""


def file_of(url: str) -> Path | None:
    """Return the SQLite file at the URL of a database; None if the URL leads to a server."""
    return Path(make_url(url).database or "") if url.startswith("sqlite:") else None


def confirm_account(folder: Path) -> None:
    """Raise `CommandError` if root would leave files in the `folder` of another, who could not use them."""
    owner = folder.stat().st_uid if folder.exists() else 0
    if os.name == "posix" and os.geteuid() == 0 and owner:
        raise CommandError(f"This is run by root, and {folder} is of user {owner}. Run it as that: deploy/parlor does.")


def reason(error: Exception) -> str:
    """Return what `error` says, in one line, and without what SQLAlchemy adds to it."""
    said = str(getattr(error, "orig", None) or error) or "it does not answer in time"
    return " ".join(said.split()).removesuffix(".")


def alone(url: str, work: Work[Result]) -> Result:
    """Do `work` in one transaction on the database at `url`, while nobody else opens it.

    Raises `OSError` and what SQLAlchemy raises.
    """
    return asyncio.run(_alone(url, work))


async def _alone(url: str, work: Work[Result]) -> Result:
    engine = open_engine(url, LOCK_WAIT)
    try:
        return await engine.open(work)
    finally:
        await engine.close()
