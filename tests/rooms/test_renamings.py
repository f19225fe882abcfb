"""Renamings in any process."""

from collections.abc import Sequence
from dataclasses import replace

from app.chat.messages import Member
from app.cluster.bus import LocalBus
from app.rooms.renamings import Renamings
from tests.cast import ANN, BOB
from tests.logs import until


class Register:
    """Numbers the renamings."""

    def __init__(self) -> None:
        self.renamed = [BOB]

    async def since(self, renaming: int) -> tuple[int, Sequence[Member]]:
        return len(self.renamed), self.renamed[renaming:]


async def test_renamings_since_the_start_are_reported() -> None:
    register, bus, heard = Register(), LocalBus(), list[Member]()
    renamings = Renamings(register.since, bus, heard.append)
    await renamings.begin()
    bus.announce("rooms", 9)
    bus.announce("names", 1)
    anna, robert = replace(ANN, name="Anna"), replace(BOB, name="Robert")
    register.renamed += [anna, robert]
    bus.announce("names", 3)
    await until(lambda: len(heard) == 2)
    bus.announce("names", 3)
    assert heard == [anna, robert]
