"""What was said of open drafts, for the process to which their page may come back."""

import asyncio
from collections.abc import Collection, Mapping
from typing import cast

import pytest

from app.chat.drafts import SentDrafts
from app.chat.messages import Draft
from app.cluster.drafts import SharedDrafts
from app.store.errors import StoreUnavailable
from app.store.shared_tables import SharedTables
from tests.logs import until


class Shared:
    """What processes share of drafts; `gone` when nothing can be asked."""

    def __init__(self) -> None:
        self.noted: dict[tuple[str, str], str] = {}
        self.asked: list[tuple[str, list[str]]] = []
        self.notes = 0
        self.gone = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def note_drafts(self, said: Mapping[tuple[str, str], str]) -> None:
        self.notes += 1
        await self.answering.wait()
        if self.gone:
            raise StoreUnavailable("gone")
        self.noted |= said

    async def noted_drafts(self, author: str, keys: Collection[str]) -> dict[str, str]:
        self.asked.append((author, list(keys)))
        if self.gone:
            raise StoreUnavailable("gone")
        return {key: self.noted[author, key] for key in keys if (author, key) in self.noted}


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest.fixture
def shared_drafts(shared: Shared) -> SharedDrafts:
    return SharedDrafts(cast(SharedTables, shared))


async def test_a_draft_shared_by_one_process_is_found_by_another(shared_drafts: SharedDrafts, shared: Shared) -> None:
    shared_drafts.share([("ann", Draft("first", "a")), ("bob", Draft("hello", "a"))])
    await until(lambda: len(shared.noted) == 2)
    said = SentDrafts()
    drafts = [Draft("firsts", "a"), Draft("new", "b"), Draft("without a key", "")]
    await shared_drafts.recall(said, "ann", drafts, now=0)
    assert [said.sent_text("ann", draft) for draft in drafts] == ["first", None, None]
    assert shared.asked == [("ann", ["a", "b"])]


async def test_a_known_draft_is_not_looked_up(shared_drafts: SharedDrafts, shared: Shared) -> None:
    said = SentDrafts()
    said.note_sent("ann", Draft("first", "a"), now=0)
    await shared_drafts.recall(said, "ann", [Draft("firsts", "a")], now=0)
    await shared_drafts.recall(said, "", [Draft("hello", "b")], now=0)
    assert shared.asked == []


async def test_drafts_arriving_during_a_share_are_shared_next(shared_drafts: SharedDrafts, shared: Shared) -> None:
    shared.answering.clear()
    for key in "abc":
        shared_drafts.share([("ann", Draft("first", key))])
        await until(lambda: shared.notes == 1)
    shared.answering.set()
    await until(lambda: len(shared.noted) == 3)
    assert shared.notes == 2


async def test_without_a_database_no_draft_is_found(shared_drafts: SharedDrafts, shared: Shared) -> None:
    shared.gone = True
    shared_drafts.share([("ann", Draft("first", "a"))])
    await until(lambda: shared_drafts._sharing is None)
    said = SentDrafts()
    await shared_drafts.recall(said, "ann", [Draft("firsts", "a")], now=0)
    assert len(said) == 0
    shared.gone = False
    shared_drafts.share([("ann", Draft("second", "b"))])
    await until(lambda: len(shared.noted) == 1)
