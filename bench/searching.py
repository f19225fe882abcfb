"""Searching a log of many messages, on either engine: in this process, from the query to the messages."""

import random
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from time import perf_counter
from typing import Any

from app.chat.messages import Member
from app.chat.search import parse_query
from app.store import append_queries
from app.store.append_queries import Submission, digest_of
from app.store.search_queries import Search
from app.store.store import Store, utc_now

RARE = 60_000  # words, each as frequent as its place among them says: https://en.wikipedia.org/wiki/Zipf%27s_law
LENGTH = 12  # words of a message
ROOMS, AUTHORS = 50, 200
SOMEBODY = "somebody"  # in the place of an id
AT_ONCE = 1000
PAGE, RANKED = 31, 200
REPEATS = 20
LETTERS = "etaoinshrdlu"


def word(number: int) -> str:
    """Return a word of its own for each number, the shortest first."""
    text, number = "", number + 1
    while number:
        text, number = text + LETTERS[number % len(LETTERS)], number // len(LETTERS)
    return text


def queries() -> dict[str, dict[str, Any]]:
    """Return queries of each kind, with their filters."""
    often, seldom = [word(number) for number in range(10)], [word(number) for number in range(3000, 3010)]
    return {
        **{one: {} for one in (*often, *seldom)},
        **{f"{one} {other}": {} for one, other in zip(often, seldom, strict=True)},
        **{f"{one} {other} ": {} for one, other in zip(often, reversed(often), strict=True)},
        **{f'"{one} {other}"': {} for one, other in pairwise(often)},
        **{one[:2]: {} for one in seldom},
        **{f"{one} : in a room": {"room_id": 7} for one in often},
        **{f"{one} : by somebody": {"author_ids": [SOMEBODY]} for one in often},
        **{f"{one} : until the middle": {"until": 0} for one in often},
        "nothing of it": {},
    }


async def times(url: str, count: int) -> tuple[list[float], float]:
    """Return the seconds that each query took in a log of `count` messages, sorted, and those to store a message."""
    async with Store(url, utc_now).opened("Lobby") as store:
        began = perf_counter()
        somebody = await fill(store, count)
        stored = (perf_counter() - began) / count
        middle = int(utc_now().timestamp() * 1000) - int(stored * count * 500)
        found: list[float] = []
        for text, filters in queries().items():
            asked = Search(parse_query(text.partition(" : ")[0]).terms, **filters)
            if asked.author_ids:
                asked = asked._replace(author_ids=[somebody])
            if asked.until is not None:
                asked = asked._replace(until=middle)
            for limit in (PAGE, RANKED):
                for _ in range(REPEATS):
                    began = perf_counter()
                    await store.index.find(asked, limit)
                    found.append(perf_counter() - began)
        return sorted(found), stored


async def fill(store: Store, count: int) -> str:
    """Store `count` messages, many at a time; return the id of one of their authors."""
    authors = [await store.take_name(None, f"Author {number}", "UTC", 30) for number in range(AUTHORS)]
    rooms = [(await store.rooms())[0], *[await store.create_room(f"Room {number}") for number in range(1, ROOMS)]]
    numbers = iter(range(count))
    for bodies in batches(count):
        submissions = [
            submission(rooms[number % ROOMS].id, authors[number % AUTHORS], body, number)
            for body, number in zip(bodies, numbers, strict=False)
        ]
        work = partial(append_queries.commit, submissions=submissions, now=int(utc_now().timestamp() * 1000))
        await store._write(work)
    return authors[7].id


def submission(room_id: int, author: Member, body: str, number: int) -> Submission:
    """Return a message as it is stored."""
    return Submission(room_id, author, body, digest_of(author, f"{number}", body))


def batches(count: int) -> Iterator[Sequence[str]]:
    """Yield the texts of `count` messages."""
    chance = random.Random(1)  # noqa: S311
    vocabulary = [word(number) for number in range(RARE)]
    weights = list(accumulate(1 / (number + 1) for number in range(RARE)))
    for _ in range(0, count, AT_ONCE):
        said = chance.choices(vocabulary, cum_weights=weights, k=LENGTH * AT_ONCE)
        yield [" ".join(said[start : start + LENGTH]) for start in range(0, len(said), LENGTH)]
