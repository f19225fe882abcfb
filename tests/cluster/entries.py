"""What `make soak ARGS=cluster` tries: each on a cluster of its own, which is gone afterwards."""

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from tests.cluster import faults, partitions, spread
from tests.cluster.cluster import Cluster, apart, together
from tests.cluster.near import near
from tests.cluster.same import same
from tests.guarantees.entry import Entry, Scenario, by_pytest
from tests.guarantees.outcome import Outcome


def on(
    made: Callable[[Path], AbstractContextManager[Cluster]], scenario: Callable[[Any], Coroutine[Any, Any, Outcome]]
) -> Scenario:
    """Return a scenario that is played on a cluster of its own, `made` in the folder that it is given."""

    async def play(data: Path) -> Outcome:
        with made(data) as cluster:
            return await scenario(cluster)

    return play


entry = partial(Entry, "cluster")
two, four = together, partial(together, processes=4)
hasty = partial(together, presence_grace=2, poll_seconds=0.5)

ENTRIES = (
    entry("near-2", "how soon, 2 processes", on(two, near), on(two, partial(near, messages=20, judged=False))),
    entry("near-4", "how soon, 4 processes", on(four, near), on(four, partial(near, messages=20, judged=False))),
    entry(
        "elsewhere",
        "dropped, and back elsewhere",
        on(four, spread.drops),
        on(two, partial(spread.drops, clients=12, writers=3, times=3, away=0.3, pause=0.05)),
    ),
    entry("pages", "pages of any process", on(four, same), on(two, partial(same, scripts=2))),
    entry("submitted", "the same submission", on(four, spread.once), on(two, spread.once)),
    entry(
        "kills",
        "kill -9 of one process",
        on(four, spread.kills),
        on(two, partial(spread.kills, times=1, writers=3, readers=5)),
    ),
    entry(
        "rolling",
        "one restart after the other",
        on(four, spread.rolling),
        on(two, partial(spread.rolling, guests=20, writers=3, pause=0.05)),
    ),
    entry("absent", "a process that is gone", on(two, faults.killed), on(hasty, partial(faults.killed, grace=2))),
    entry("stopped", "PostgreSQL stopped", on(two, faults.stopped), on(two, partial(faults.stopped, seconds=1))),
    entry(
        "ended",
        "connections ended by it",
        on(two, faults.disconnected),
        on(two, partial(faults.disconnected, times=3)),
    ),
    entry(
        "cut",
        "one process cut off",
        on(apart, partitions.cut),
        on(partial(apart, heartbeat=0.5), partial(partitions.cut, seconds=5)),
    ),
    entry(
        "page",
        "a page that is cut off",
        by_pytest("tests/browser/test_cut_off.py", TEST_PROFILE="soak"),
        by_pytest("tests/browser/test_cut_off.py", TEST_PROFILE="soak"),
    ),
    entry(
        "lagging", "its copy cut off", on(apart, partitions.lagging), on(apart, partial(partitions.lagging, seconds=8))
    ),
    entry(
        "failover",
        "the database is killed",
        on(apart, partial(partitions.failover, silently=False)),
        on(apart, partial(partitions.failover, silently=False, writers=4, readers=4)),
    ),
    entry(
        "vanished",
        "the database vanishes",
        on(apart, partitions.failover),
        on(apart, partial(partitions.failover, writers=4, readers=4)),
    ),
)
