"""The search index: the contract, on each engine."""

import asyncio
from typing import Any

import pytest

from app.chat.changes import Delete, Edit
from app.chat.characters import is_blank
from app.chat.messages import Member, Room, clean
from app.chat.search import LONGEST_QUERY, parse_query
from app.store.change_queries import Request
from app.store.search_queries import Search
from app.store.store import Store
from tests.conftest import Clock
from tests.hostile import BODIES

pytestmark = pytest.mark.anyio


async def say(log: Store, room: Room, author: Member, *bodies: str) -> None:
    for body in bodies:
        await log.append(room.id, author, body, body)


async def found(log: Store, query: str, limit: int = 30, **filters: Any) -> list[str]:
    return [each.message.body for each in await log.index.find(Search(parse_query(query).terms, **filters), limit)]


@pytest.mark.parametrize(
    "query",
    [
        "lunch",
        "lun",
        "market lunch",
        '"lunch at the market"',
        "用户",
        "itgc",
        "重跑",
        "uberprufen",
        "db",
        "🚀",
        "o'neil",
    ],
)
async def test_words_are_found_in_all_scripts(log: Store, ann: Member, lobby: Room, query: str) -> None:
    body = "Lunch at the market? 重跑gen-itgc后 用户db überprüfen 🚀 O'Neil"
    await say(log, lobby, ann, "something else", body, "the market at lunch time is 户用")
    assert body in await found(log, query)
    assert "something else" not in await found(log, query)


@pytest.mark.parametrize("query", ['"market the"', '"the lunch"', "unch", "nothing", "户重", "lunch nothing"])
async def test_what_does_not_follow_or_is_not_there_is_not_found(
    log: Store, ann: Member, lobby: Room, query: str
) -> None:
    await say(log, lobby, ann, "Lunch at the market? 重跑gen-itgc后 用户db")
    assert await found(log, query) == []


async def test_the_newest_come_first_and_the_rest_on_the_next_page(log: Store, ann: Member, lobby: Room) -> None:
    tea = await log.create_room("Tea")
    for number in range(6):
        await say(log, (lobby, tea)[number % 2], ann, f"tea {number}")
    first = await log.index.find(Search(parse_query("tea").terms), 4)
    assert [each.message.body for each in first] == ["tea 5", "tea 4", "tea 3", "tea 2"]
    assert await found(log, "tea", before=first[-1].id) == ["tea 1", "tea 0"]


@pytest.mark.breaks("app/store/search_queries.py", "if asked.author_ids:", "if False:")
@pytest.mark.breaks("app/store/search_queries.py", "if asked.room_id is not None:", "if False:")
async def test_results_are_filtered_by_room_and_author(log: Store, ann: Member, bob: Member, lobby: Room) -> None:
    tea = await log.create_room("Tea")
    for room, author in ((lobby, ann), (tea, ann), (lobby, bob), (tea, bob)):
        await say(log, room, author, f"hello {room.slug} {author.name}")
    assert await found(log, "hello", room_id=tea.id) == ["hello tea Bob", "hello tea Ann"]
    assert await found(log, "hello", author_ids=[ann.id]) == ["hello tea Ann", "hello lobby Ann"]
    assert await found(log, "hello", room_id=lobby.id, author_ids=[bob.id]) == ["hello lobby Bob"]
    assert len(await found(log, "", author_ids=[ann.id, bob.id])) == 4
    assert len(await found(log, "")) == 4


@pytest.mark.breaks("app/store/search_queries.py", "yield messages.c.created_at < asked.until", "pass")
@pytest.mark.breaks("app/store/search_queries.py", "yield messages.c.created_at >= asked.since", "pass")
async def test_results_are_filtered_by_time(log: Store, ann: Member, lobby: Room, clock: Clock) -> None:
    times = []
    for number in range(4):
        await say(log, lobby, ann, f"tea {number}")
        times.append(int(clock.now.timestamp() * 1000))
        clock.advance(minutes=1)
    assert await found(log, "tea", until=times[2]) == ["tea 1", "tea 0"]
    assert await found(log, "tea", since=times[2]) == ["tea 3", "tea 2"]
    assert await found(log, "tea", since=times[1], until=times[2]) == ["tea 1"]
    assert await found(log, "tea", until=times[0]) == []
    assert await found(log, "tea", since=times[-1] + 1) == []
    clock.advance(minutes=-60)  # the clock is set back: what was said since is not later
    await say(log, lobby, ann, "tea 4")
    assert await found(log, "tea", since=times[2]) == ["tea 3", "tea 2"]


@pytest.mark.breaks("app/store/search_queries.py", "connection.execute(_DELETE, deleted)", "pass")
@pytest.mark.breaks("app/store/search_queries.py", "connection.execute(_update(connection), edited)", "pass")
async def test_edits_and_deletions_are_followed_at_once(log: Store, ann: Member, lobby: Room) -> None:
    await say(log, lobby, ann, "a secret", "another secret")
    await log.change(Request(lobby.id, 1, ann, Edit("a rumour"), None))
    assert await found(log, "secret") == ["another secret"]
    assert await found(log, "rumour", author_ids=[ann.id], room_id=lobby.id) == ["a rumour"]
    await log.change(Request(lobby.id, 1, ann, Delete(), None))
    await log.change(Request(lobby.id, 2, ann, Delete(), None))
    assert await found(log, "rumour") == await found(log, "secret") == await found(log, "") == []
    await log.index.purge()
    assert await found(log, "rumour") == []


async def test_hostile_texts_are_stored_and_searched_without_an_error(log: Store, ann: Member, lobby: Room) -> None:
    bodies = dict.fromkeys(clean(body, 4000) for body in BODIES if not is_blank(body) and len(body) <= 4000)
    await asyncio.gather(*(log.append(lobby.id, ann, body, f"k{n}") for n, body in enumerate(bodies)))
    for body in bodies:
        terms = parse_query(f'"{body}').terms
        found = await log.index.find(Search(terms), 1) if terms else []
        # A query ends with a quote, and after so many characters.
        assert found or not terms or '"' in body or len(body) >= LONGEST_QUERY, body
