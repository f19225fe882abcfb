"""Questions that come together are answered together."""

import asyncio
from collections.abc import Sequence

import pytest

from app.store.batch_loader import BatchLoader


class Library:
    """Knows the length of each word but the empty one; answers when it is `open`."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.open = asyncio.Event()
        self.fails = False

    async def look_up(self, words: Sequence[str]) -> dict[str, int]:
        self.calls.append(list(words))
        await self.open.wait()
        if self.fails:
            raise LookupError("closed")
        return {word: len(word) for word in words if word}


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.breaks("app/store/batch_loader.py", "if self._answering is None:", "if True:")
async def test_lookups_during_a_query_share_the_next_one() -> None:
    library = Library()
    lookups = BatchLoader(library.look_up)
    first = asyncio.create_task(lookups.load("a"))
    await turn()
    others = [asyncio.create_task(lookups.load(word)) for word in ("bb", "", "ccc", "bb")]
    await turn()
    assert library.calls == [["a"]]
    library.open.set()
    assert await first == 1
    assert await asyncio.gather(*others) == [2, None, 3, 2]
    assert library.calls == [["a"], ["bb", "", "ccc"]]
    # And later again, anew.
    assert await lookups.load("a") == 1
    assert len(library.calls) == 3


async def test_a_cancelled_caller_does_not_cancel_the_lookup() -> None:
    library = Library()
    lookups = BatchLoader(library.look_up)
    leaving, staying = (asyncio.create_task(lookups.load("a")) for _ in range(2))
    await turn()
    leaving.cancel()
    await turn()
    library.open.set()
    assert await staying == 1
    assert leaving.cancelled()


async def test_a_failed_lookup_reaches_its_callers_and_nobody_else() -> None:
    library = Library()
    library.open.set()
    library.fails = True
    lookups = BatchLoader(library.look_up)
    answers = await asyncio.gather(*(lookups.load(word) for word in "ab"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError, LookupError]
    library.fails = False
    assert await lookups.load("a") == 1


async def test_a_crowd_is_answered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.batch_loader.LARGEST_LOOKUP", 3)
    library = Library()
    library.open.set()
    lookups = BatchLoader(library.look_up)
    words = [str(number) for number in range(8)]
    assert await asyncio.gather(*(lookups.load(word) for word in words)) == [1] * 8
    assert [len(call) for call in library.calls] == [3, 3, 2]
