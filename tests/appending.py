"""A process that appends to a log as fast as it can: `python -m tests.appending URL AUTHOR ROOMS NAME COUNT`.

It says `ready`, waits for a line, and then has several speak at once, in all of the rooms. One of each four submissions
is the same in every process. At the end it prints what became of each, as JSON: room, body, position, whether new.
"""

import asyncio
import json
import sys
from collections.abc import Iterator

from app.chat.messages import Member
from app.store.store import Store, utc_now

SPEAKERS = 16
SHARED = 4  # each so many-th


async def main(url: str, author_id: str, room_ids: list[int], name: str, count: int) -> None:
    """Do as the command line says."""
    author = Member(author_id, "Ann", "UTC")
    numbers = iter(range(count))
    said: list[tuple[int, str, int, bool]] = []

    async def speak(log: Store, numbers: Iterator[int]) -> None:
        for number in numbers:
            body = f"{number}" if number % SHARED == 0 else f"{name}.{number}"
            room_id = room_ids[number % len(room_ids)]
            stored = await log.append(room_id, author, body, body)
            said.append((room_id, body, stored.message.position, stored.is_new))

    async with Store(url, utc_now).opened("Lobby") as log:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(speak(log, numbers) for _ in range(SPEAKERS)))
    print(json.dumps(said))


if __name__ == "__main__":
    url, author_id, room_ids, name, count = sys.argv[1:]
    asyncio.run(main(url, author_id, [int(room_id) for room_id in room_ids.split(",")], name, int(count)))
