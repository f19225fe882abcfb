"""Migrations of the database (Alembic). `upgrade` brings any earlier revision to the newest."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

FOLDER = str(Path(__file__).parent)


class UnknownRevision(Exception):
    """A newer release has migrated this database."""


def upgrade(connection: Connection) -> None:
    """Migrate the database behind `connection` to the newest revision.

    Raises `UnknownRevision`.
    """
    before = revision(connection)
    if before and before not in revisions():
        raise UnknownRevision(f"A newer Parlor has migrated the database, to revision {before}. Upgrade this one.")
    config = Config()
    config.set_main_option("script_location", FOLDER)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def revision(connection: Connection) -> str:
    """Return the revision of the database; empty if it is none of ours."""
    return MigrationContext.configure(connection).get_current_revision() or ""


@cache
def revisions() -> tuple[str, ...]:
    """Return all revisions that there are, the newest first."""
    return tuple(step.revision for step in ScriptDirectory(FOLDER).walk_revisions())
