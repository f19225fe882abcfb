"""The rooms that there are, wherever they were made."""

import asyncio
from collections.abc import Sequence

import pytest

from app.chat.messages import Room
from app.rooms.directory import Directory
from tests.cast import LOBBY, WATERCOOLER
from tests.logs import until


class Register:
    """Where rooms are registered by whichever process."""

    def __init__(self) -> None:
        self.rooms = [LOBBY]
        self.removed: list[tuple[int, str]] = []
        self.reads = 0

    async def after(self, room_id: int) -> Sequence[Room]:
        self.reads += 1
        return [room for room in self.rooms if room.id > room_id]

    async def removals(self, removal: int) -> Sequence[tuple[int, str]]:
        return [each for each in self.removed if each[0] > removal]


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
def new() -> list[Room]:
    return []


@pytest.fixture
def directory(register: Register, new: list[Room]) -> Directory:
    return Directory(register.after, new.append, register.removals, new.remove)


async def test_rooms_are_known_in_their_order_and_new_once(
    directory: Directory, register: Register, new: list[Room]
) -> None:
    await directory.refresh()
    assert directory.all() == new == [LOBBY]
    assert directory.oldest == LOBBY
    register.rooms.append(WATERCOOLER)
    assert directory.find("watercooler") is None
    await directory.refresh()
    await directory.refresh()
    assert directory.all() == new == [LOBBY, WATERCOOLER]
    assert directory.find("watercooler") == WATERCOOLER


async def test_an_announced_room_is_read(directory: Directory, register: Register) -> None:
    await directory.refresh()
    register.rooms.append(WATERCOOLER)
    directory.reached(WATERCOOLER.id)
    await until(lambda: directory.find("watercooler") is not None)
    directory.reached(WATERCOOLER.id)
    assert register.reads == 2


@pytest.mark.breaks(
    "app/rooms/directory.py", "await self._follower.refresh()\n        return self._rooms", "return self._rooms"
)
async def test_a_room_that_nobody_has_announced_yet_is_found_when_it_is_asked_for(
    directory: Directory, register: Register
) -> None:
    await directory.refresh()
    register.rooms.append(WATERCOOLER)
    assert await directory.look_up("watercooler") == WATERCOOLER
    assert register.reads == 2
    assert await directory.look_up("watercooler") == WATERCOOLER
    assert register.reads == 2


async def test_concurrent_lookups_of_missing_rows_share_a_query(directory: Directory, register: Register) -> None:
    await directory.refresh()
    flood = [directory.look_up(f"room-{number}") for number in range(1000)]
    assert set(await asyncio.gather(*flood)) == {None}
    assert register.reads == 2


@pytest.mark.parametrize("slug", ["", "Watercooler", "a b", "x" * 81, "../lobby", "\u00e4"])
async def test_impossible_slugs_are_not_looked_up(directory: Directory, register: Register, slug: str) -> None:
    assert await directory.look_up(slug) is None
    assert register.reads == 0
