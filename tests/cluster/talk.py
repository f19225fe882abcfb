"""People who go on writing during faults, and send again what has no receipt."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

from tests.guarantees.crowd import PATIENCE, Guest

UNSTORED = "The server cannot store anything right now."
TOLD_SECONDS = 30.0  # a process that hears nothing of the database waits for each of its answers
AGAIN_SECONDS = 0.5  # until somebody tries again who was told so, or nothing


@asynccontextmanager
async def insisting(writers: Sequence[Guest], pause: float = 0.05) -> AsyncIterator[None]:
    """Have each of `writers` say one text after the other, and each again and again until it has a receipt."""
    enough = asyncio.Event()

    async def talk(number: int, writer: Guest) -> None:
        for turn in count(1):
            text = f"{turn} of writer {number}"
            key = await writer.say(text)
            while not await _has_receipt(writer, key):
                await writer.say(text, key)
            if enough.is_set():
                return
            await asyncio.sleep(pause)

    tasks = [asyncio.create_task(talk(number, writer)) for number, writer in enumerate(writers)]
    try:
        yield
        enough.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _has_receipt(writer: Guest, key: str) -> bool:
    """Whether the receipt for `key` comes before it is time to try again."""
    try:
        await writer.receipt(key, AGAIN_SECONDS)
    except TimeoutError:
        return False
    return True


async def is_told(writer: Guest) -> None:
    """Wait until `writer` is told once more that nothing can be stored."""
    known = len(writer.notices)
    await writer.until(lambda: any(UNSTORED in notice for notice in writer.notices[known:]), "a notice", TOLD_SECONDS)


async def progress(guests: Sequence[Guest], messages: int) -> None:
    """Wait until each of `guests` is shown so many messages more than anybody is now."""
    last = max(max(guest.shown, default=0) for guest in guests)
    await asyncio.gather(*(guest.reaches(last + messages) for guest in guests))


def said(guests: Sequence[Guest]) -> str:
    """Return what `guests` said, in figures."""
    receipts = sum(len(guest.receipts) for guest in guests)
    notices = sum(len(guest.notices) for guest in guests)
    return f"{receipts:,} receipts, {notices:,} notices, {sum(len(guest.wrong) for guest in guests)} doubled or missing"


def closed(guests: Sequence[Guest]) -> list[str]:
    """Return what is wrong where a socket of `guests` was closed: nobody was to notice."""
    return [f"closed by {guest.closings}" for guest in guests if guest.closings]
