"""Searches the index, and overwrites what deleted messages have left in it."""

from functools import partial

from app.store import search_queries
from app.store.search_queries import Found, Search
from app.store.shared_tables import Run


class SearchIndex:
    """Reads and tends the index."""

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    async def find(self, asked: Search, limit: int) -> list[Found]:
        """Return up to `limit` messages that answer, the newest first. Raises `StoreUnavailable`."""
        return await self._read(partial(search_queries.search, asked=asked, limit=limit))

    async def purge(self) -> None:
        """Overwrite what deleted words have left, in parts between which others write."""
        begins = True
        while await self._write(partial(search_queries.purge, begins=begins)):
            begins = False
