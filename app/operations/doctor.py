"""The examination of what a server needs, from outside: the machine, the database. It changes nothing.

It can be run beside a server, and before there is one.
"""

from collections.abc import Callable, Iterator

from sqlalchemy.exc import SQLAlchemyError

from app.operations import databases, machine
from app.operations.checks import Check, ok, unknown
from app.operations.commands import reason
from app.settings import Settings

EXAMINATIONS: tuple[Callable[[Settings], Iterator[Check]], ...] = (machine.examine, databases.examine)


def examine(settings: Settings) -> Iterator[Check]:
    """Yield all findings, as they come."""
    yield ok("the settings can be used.")
    for examination in EXAMINATIONS:
        try:
            yield from examination(settings)
        except (OSError, SQLAlchemyError) as error:
            yield unknown(f"the examination did not come to its end: {reason(error)}.", "Mend this, and run it again.")
