"""Examines everything that a server needs: settings, machine, database. It changes nothing.

It runs beside a server, or before there is one.
"""

from collections.abc import Callable, Iterator

from sqlalchemy.exc import SQLAlchemyError

from app.operations.commands import reason
from app.operations.doctor import database, machine
from app.operations.doctor.checks import Check, ok, unknown
from app.settings import Settings

EXAMINATIONS: tuple[Callable[[Settings], Iterator[Check]], ...] = (machine.examine, database.examine)


def examine(settings: Settings) -> Iterator[Check]:
    """Yield all findings, as they come."""
    yield ok("the settings can be used.")
    for examination in EXAMINATIONS:
        try:
            yield from examination(settings)
        except (OSError, SQLAlchemyError) as error:
            yield unknown(f"the examination did not come to its end: {reason(error)}.", "Mend this, and run it again.")
