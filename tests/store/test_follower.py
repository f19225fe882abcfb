"""Whatever has a position is followed alike: one reading at a time, until it has come as far as is known."""

import asyncio

import pytest

from app.store import follower
from app.store.follower import Follower
from tests.logs import until


class Shelf:
    """Something that grows, and can be read when it is `open`."""

    def __init__(self) -> None:
        self.position = 0
        self.read_from: list[int] = []
        self.at_once = 0
        self.open = asyncio.Event()
        self.open.set()
        self.fails = 0

    async def read(self, position: int) -> int:
        """Return up to where it goes when the reading begins."""
        found = self.position
        self.read_from.append(position)
        self.at_once += 1
        await self.open.wait()
        await asyncio.sleep(0)
        assert self.at_once == 1
        self.at_once -= 1
        if self.fails:
            self.fails -= 1
            raise OSError("not now")
        return found


async def until_idle() -> None:
    while tasks := [task for task in asyncio.all_tasks() if task.get_name().startswith(("follow", "lookups"))]:
        await asyncio.wait(tasks)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def following(shelf: Shelf) -> Follower:
    return Follower("shelf", shelf.read)


async def test_each_announcement_is_read_once(shelf: Shelf, following: Follower) -> None:
    shelf.position = 3
    for position in (1, 2, 3, 2):
        following.reached(position)
    await until_idle()
    assert following.position == 3
    assert shelf.read_from == [0]
    following.reached(3)
    await until_idle()
    assert shelf.read_from == [0]


@pytest.mark.breaks("app/store/follower.py", "if self._reached == known:", "if True:")
async def test_announcements_during_a_read_lead_to_another_read(shelf: Shelf, following: Follower) -> None:
    shelf.position = 1
    shelf.open.clear()
    following.reached(1)
    await until(lambda: bool(shelf.read_from))
    shelf.position = 2
    following.reached(2)
    shelf.open.set()
    await until_idle()
    assert following.position == 2
    assert shelf.read_from == [0, 1]


async def test_a_false_announcement_is_read_once(shelf: Shelf, following: Follower) -> None:
    shelf.position = 1
    following.reached(99)
    await until_idle()
    assert following.position == 1
    shelf.position = 2
    following.reached(2)
    await until_idle()
    assert following.position == 2


@pytest.mark.breaks("app/store/follower.py", "except Exception as error:", "except LookupError as error:")
async def test_failed_presence_reads_are_retried(
    shelf: Shelf, following: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RETRY_SECONDS", 0)
    shelf.position, shelf.fails = 5, 2
    following.reached(5)
    await until_idle()
    assert following.position == 5
    assert len(shelf.read_from) == 3


async def test_a_call_is_answered_by_a_later_read(shelf: Shelf, following: Follower) -> None:
    shelf.open.clear()
    asking = [asyncio.create_task(following.refresh())]
    await until(lambda: bool(shelf.read_from))
    shelf.position = 1
    asking += [asyncio.create_task(following.refresh()) for _ in range(50)]
    await asyncio.sleep(0)
    shelf.open.set()
    await asyncio.gather(*asking)
    assert following.position == 1
    assert shelf.read_from == [0, 0]


async def test_callers_get_the_read_error(shelf: Shelf, following: Follower) -> None:
    shelf.fails = 1
    with pytest.raises(OSError, match="not now"):
        await following.refresh()
    await following.refresh()
