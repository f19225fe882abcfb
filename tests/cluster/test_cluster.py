"""Several processes on one PostgreSQL, small: the guarantees with people on all of them, and what may happen to it."""

from collections.abc import Iterator

import pytest

from tests.cluster import faults, partitions, spread
from tests.cluster.cluster import Apart, Cluster, apart, together
from tests.cluster.near import near
from tests.cluster.network import skip_without_machines
from tests.cluster.same import same
from tests.guarantees.test_delivery import check
from tests.postgres import skip_without

GRACE = 2  # seconds until somebody who does not come back is absent


@pytest.fixture(scope="module", autouse=True)
def needs_postgres() -> None:
    skip_without()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two processes, which all tests share: whatever happens to them heals."""
    with together(tmp_path_factory.mktemp("cluster"), presence_grace=GRACE, poll_seconds=0.5) as cluster:
        yield cluster


@pytest.mark.breaks("app/rooms/rooms.py", "cluster.bus.listen(self._heard)", "pass")
async def test_a_resume_at_another_process_shows_everything_once(cluster: Cluster) -> None:
    check(await spread.drops(cluster, clients=12, writers=3, times=3, away=0.3, pause=0.05))


async def test_a_killed_process_keeps_acknowledged_messages(cluster: Cluster) -> None:
    check(await spread.kills(cluster, times=1, writers=3, readers=5))


@pytest.mark.breaks("deploy/nginx/parlor.conf", "server 127.0.0.1:8000 max_fails=0;", "server 127.0.0.1:8000;")
async def test_one_restart_after_the_other_loses_nothing(cluster: Cluster) -> None:
    check(await spread.rolling(cluster, guests=20, writers=3, pause=0.05))


@pytest.mark.breaks(
    "app/store/append_queries.py",
    '"\\0".join((author.id, key, body))',
    '"\\0".join((author.id, __import__("secrets").token_hex(4), body))',
)
async def test_the_same_submission_to_any_process_is_one_message(cluster: Cluster) -> None:
    check(await spread.once(cluster))


async def test_pages_are_the_same_wherever_they_come_from(cluster: Cluster) -> None:
    check(await same(cluster, scripts=2))


async def test_people_at_all_processes_see_each_other(cluster: Cluster) -> None:
    check(await near(cluster, messages=20, pause=0, judged=False))


@pytest.mark.breaks(
    "app/cluster/presence.py", "expiry = self._expiry if self._may_judge(began) else None", "expiry = None"
)
async def test_a_process_that_is_killed_takes_its_people_with_it(cluster: Cluster) -> None:
    check(await faults.killed(cluster, GRACE))


async def test_a_database_that_is_stopped_is_missed_and_comes_back(cluster: Cluster) -> None:
    check(await faults.stopped(cluster, seconds=1, writers=4, readers=4))


async def test_connections_that_the_database_ends_are_opened_anew(cluster: Cluster) -> None:
    check(await faults.disconnected(cluster, times=3, writers=4, readers=4))


@pytest.fixture(scope="module")
def distant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Two processes, a database and its copy, each on a machine of its own."""
    skip_without_machines()
    with apart(tmp_path_factory.mktemp("machines"), heartbeat=0.5, lock_wait_seconds=2) as cluster:
        yield cluster


@pytest.mark.breaks("app/rooms/rooms.py", "if await self.cluster.poll():", "if True:")
async def test_a_process_that_is_cut_off_falls_silent(distant: Apart) -> None:
    check(await partitions.cut(distant, seconds=5))


async def test_the_copy_of_a_lost_database_takes_over(distant: Apart) -> None:
    check(await partitions.failover(distant, silently=False, writers=4, readers=4))
