"""Coalesces concurrent lookups into one query.

After a restart all browsers reconnect at once and look up their members: a hundred lookups in one query cost little
more than one. It knows no database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

LARGEST_LOOKUP = 500  # keys in one query: databases limit their parameters

Found = TypeVar("Found")


class BatchLoader(Generic[Found]):
    """Calls `look_up`, one call at a time, with all keys that were requested in the meantime."""

    def __init__(self, look_up: Callable[[Sequence[str]], Awaitable[Mapping[str, Found]]]) -> None:
        self._look_up = look_up
        self._asked: dict[str, asyncio.Future[Found | None]] = {}
        self._answering: asyncio.Task[None] | None = None

    async def load(self, key: str) -> Found | None:
        """Return what there is under `key`. Raises what `look_up` raises."""
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all(), name="lookups")
        # Shielded: a caller that is cancelled must not cancel it for the others.
        return await asyncio.shield(answer)

    async def _answer_all(self) -> None:
        try:
            while self._asked:
                keys = list(self._asked)[:LARGEST_LOOKUP]
                await self._answer({key: self._asked.pop(key) for key in keys})
        finally:
            self._answering = None

    async def _answer(self, asked: Mapping[str, asyncio.Future[Found | None]]) -> None:
        try:
            found = await self._look_up(list(asked))
        except Exception as error:  # any error goes to the callers
            for answer in asked.values():
                answer.set_exception(error)
                answer.exception()  # marks it as retrieved: the callers may be gone
        else:
            for key, answer in asked.items():
                answer.set_result(found.get(key))
