"""Migrates a database to the newest revision before a server does so at its start."""

from collections.abc import Iterator

from sqlalchemy import Connection

from app.operations.commands import CommandError, alone
from app.settings import Settings
from app.store import migrations


def migrate(settings: Settings) -> Iterator[str]:
    """Bring the database to its newest shape; yields from which revision to which. Raises `CommandError`."""
    before, after = alone(settings.store_url, upgrade)
    if before == after:
        yield f"The database is at the newest revision, {after}, already."
    else:
        yield f"The database went from revision {before or 'none'} to {after}."


def upgrade(connection: Connection) -> tuple[str, str]:
    """Bring a database to the newest shape, and return from which revision to which. Raises `CommandError`."""
    before = migrations.revision(connection)
    try:
        migrations.upgrade(connection)
    except migrations.UnknownRevision as error:
        raise CommandError(str(error)) from error
    return before, migrations.revision(connection)
