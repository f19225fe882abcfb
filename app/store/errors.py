"""What the store raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError

from app.store.migrations import UnknownRevision


class StoreUnavailable(Exception):
    """The database cannot be reached or cannot write now: locked, full, gone. Nothing was stored."""


class NameUnavailable(Exception):
    """Another member or room has the name, or one that looks like it, or it is held for another."""


class TooManyRooms(Exception):
    """The limit of rooms is reached."""


class SessionOutdated(Exception):
    """The member has renamed or signed out since this session began."""


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn errors of a database or its driver into `StoreUnavailable`."""
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, OSError, UnknownRevision) as error:  # a TimeoutError is an OSError
        raise StoreUnavailable(str(error) or "somebody else writes for too long") from error
