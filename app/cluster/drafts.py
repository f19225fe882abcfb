"""Shares the texts of open drafts, so that a page may reconnect to any process.

Most drafts are released in a moment. The text of one that lingers, because it gained something after its Enter, is
written to the database. A page that reconnects with drafts is looked up there.
"""

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from app.chat.drafts import SentDrafts
from app.chat.messages import Draft
from app.store.errors import StoreUnavailable
from app.store.shared_tables import SharedTables

log = structlog.get_logger("parlor.drafts")


class SharedDrafts:
    """Writes the texts of lingering drafts to the database, and reads them back."""

    def __init__(self, tables: SharedTables) -> None:
        self._tables = tables
        self._unshared: dict[tuple[str, str], str] = {}  # by author and key
        self._sharing: asyncio.Task[None] | None = None

    def share(self, lingering: Iterable[tuple[str, Draft]]) -> None:
        """Write the texts of these drafts, by author. Never waits."""
        self._unshared.update({(author, draft.key): draft.body for author, draft in lingering})
        if self._unshared and self._sharing is None:
            self._sharing = asyncio.create_task(self._share_all(), name="share drafts")

    async def _share_all(self) -> None:
        try:
            while self._unshared:
                said, self._unshared = self._unshared, {}
                await self._tables.note_drafts(said)
        except Exception as error:  # whatever it is: no second try, for it is rare that anybody asks
            log.warning("not shared", error=type(error).__name__)
        finally:
            self._sharing = None

    async def recall(self, said: SentDrafts, author: str, drafts: Sequence[Draft], now: float) -> None:
        """Read the texts of those of `drafts` that `said` does not know."""
        unknown = [draft.key for draft in drafts if draft.key and said.sent_text(author, draft) is None]
        if not author or not unknown:
            return
        try:
            found = await self._tables.noted_drafts(author, unknown)
        except StoreUnavailable:  # then nothing will be stored, either
            return
        for key, body in found.items():
            said.note_sent(author, Draft(body, key), now)
