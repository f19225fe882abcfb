"""Delivery, small: drops, kills, repeated submissions, a restart, slow readers, joining and leaving."""

from pathlib import Path

import pytest

from tests.guarantees.attack import attack
from tests.guarantees.churn import churn
from tests.guarantees.drops import drops
from tests.guarantees.kill import kill
from tests.guarantees.once import once
from tests.guarantees.outcome import Outcome
from tests.guarantees.restart import restart
from tests.guarantees.slow import slow


def check(outcome: Outcome) -> None:
    assert outcome.holds, "\n".join([outcome.figures, *outcome.failures])


@pytest.mark.breaks("app/rooms/resuming.py", "while position < audience.position:", "while False:")
async def test_repeated_drops_lose_and_double_nothing(tmp_path: Path) -> None:
    check(await drops(tmp_path, clients=12, writers=3, times=3, away=0.3, pause=0.05))


@pytest.mark.breaks(
    "app/rooms/posting.py",
    "return (await self._store.append(room.id, member, draft.body, draft.key, reply, mentions)).is_new",
    '__import__("asyncio").create_task(self._store.append(room.id, member, draft.body, draft.key, reply)); return True',
)
async def test_a_killed_server_keeps_acknowledged_messages(tmp_path: Path) -> None:
    check(await kill(tmp_path, times=3, writers=4, readers=2))


@pytest.mark.breaks(
    "app/store/append_queries.py",
    '"\\0".join((author.id, key, body))',
    '"\\0".join((author.id, __import__("secrets").token_hex(4), body))',
)
async def test_the_same_submission_is_one_message_whichever_way_it_comes(tmp_path: Path) -> None:
    check(await once(tmp_path))


@pytest.mark.breaks(
    "app/store/log_queries.py", "return str(connection.scalar(select(log.c.epoch)))", "return token_hex(4)"
)
async def test_a_restart_loses_nothing_and_all_come_back(tmp_path: Path) -> None:
    check(await restart(tmp_path, guests=60, pause=0.1, timed=False))


@pytest.mark.breaks("app/delivery/connection.py", "wait = self._stall_seconds / LOOKS", "wait = 3600")
async def test_a_reader_that_stalls_is_cut_off_and_comes_back(tmp_path: Path) -> None:
    check(await slow(tmp_path, readers=10, rounds=1, seconds=1, stall_seconds=1, outbox_length=10**8, judged=False))


async def test_attackers_cost_the_server_next_to_nothing(tmp_path: Path) -> None:
    check(await attack(tmp_path, sockets=20, names=("bombs", "ghosts"), timed=False))


@pytest.mark.breaks("app/delivery/hub.py", "audience.visitors.discard(connection)", "pass")
async def test_departed_members_leave_nothing_behind(tmp_path: Path) -> None:
    check(await churn(tmp_path, seconds=4, warm_up=2, at_once=20, judged=False))
