"""What the store raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError

from app.store.migrations import UnknownRevision


class StoreUnavailable(Exception):
    """The database cannot be reached or cannot write now: locked, full, gone. Nothing was stored."""


class NameUnavailable(Exception):
    """A name is held for another, or the room's is another's."""


class TooManyRooms(Exception):
    """There are as many rooms as there may be."""


class SessionOutdated(Exception):
    """A member has renamed or signed out since the session that wants something."""


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn what a database or its driver says when it cannot serve into `StoreUnavailable`."""
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, OSError, UnknownRevision) as error:  # a TimeoutError is an OSError
        raise StoreUnavailable(str(error) or "somebody else writes for too long") from error
