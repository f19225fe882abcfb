"""The long half: `python -m tests.guarantees [name …]`, `make soak`. With `--quick`, the sizes of `make test`.

A line for each scenario as it ends, with its figures; the exit status is 0 only when all hold.
"""

import argparse
import asyncio
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from tests.cluster.entries import ENTRIES as CLUSTER
from tests.guarantees.attack import attack
from tests.guarantees.churn import churn
from tests.guarantees.drops import drops
from tests.guarantees.entry import Entry, Scenario, by_pytest
from tests.guarantees.fuzz import frames, requests
from tests.guarantees.kill import kill
from tests.guarantees.once import once
from tests.guarantees.outcome import Outcome
from tests.guarantees.restart import restart
from tests.guarantees.slow import slow
from tests.ways import NAMES

# What starts servers, for the ways to start them.
PROTOCOL = "tests/protocol"
SERVED = (PROTOCOL, "tests/guarantees/test_delivery.py", "tests/guarantees/test_fuzz.py", "tests/test_main.py")
STORIES = ("tests/browser", "-m", "engines")
SAME = "tests/rooms/test_rooms.py::test_live_resumed_and_reloaded_pages_are_the_same"

ENTRIES = (
    Entry("G1", "kill", "kill -9 in the middle of load", kill, partial(kill, times=3, writers=4, readers=2)),
    Entry("G1", "drops", "dropped again and again", drops, partial(drops, clients=12, times=3, away=0.3)),
    Entry(
        "G2",
        "same",
        "live, resumed and reloaded pages",
        by_pytest(SAME, "tests/browser/test_same_dom.py", TEST_PROFILE="soak"),
        by_pytest(SAME),
    ),
    Entry("G3", "once", "the same submission again", once, once),
    Entry("G4", "slow", "readers that stall", slow, partial(slow, readers=10, rounds=1, seconds=1, judged=False)),
    Entry("G5", "restart", "a restart with a crowd", restart, partial(restart, guests=60, pause=0.1, timed=False)),
    Entry(
        "G6",
        "status",
        "the status at its real times",
        by_pytest("tests/browser/test_connection.py", "-k", "real", TEST_PROFILE="soak"),
        by_pytest("tests/browser/test_connection.py", "-k", "quick"),
    ),
    Entry(
        "G7", "attack", "attackers beside neighbours", attack, partial(attack, sockets=20, names=("bombs", "ghosts"))
    ),
    Entry("G7", "frames", "frames of any kind", frames, partial(frames, count=5_000)),
    Entry("G7", "requests", "requests of any kind", requests, partial(requests, count=1_500)),
    Entry("G7", "protocol", "bytes of any kind", by_pytest(PROTOCOL, TEST_PROFILE="soak"), by_pytest(PROTOCOL)),
    *(
        Entry("all", way, f"served {way}", by_pytest(*SERVED, TEST_WAY=way), by_pytest(PROTOCOL, TEST_WAY=way))
        for way in NAMES[1:]
    ),
    *(
        Entry(
            "all", engine, f"the main stories in {engine}", by_pytest(*STORIES, TEST_ENGINE=engine), by_pytest(*STORIES)
        )
        for engine in ("firefox", "webkit")
    ),
    Entry("G7", "churn", "people who come and go", churn, partial(churn, seconds=6, warm_up=2, judged=False)),
    *CLUSTER,
)


# Each takes minutes, and all others are to fit in half an hour. The cluster's take six together.
ON_REQUEST = {"protocol", *NAMES, "cluster"}


NAMED = f"{', '.join(entry.name for entry in ENTRIES)}; or a guarantee, G1 to G7; or cluster, for several processes"


def main() -> int:
    """Run the scenarios that the command line names, or all but those on request; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.guarantees", description="Try the guarantees at full size.")
    parser.add_argument("names", nargs="*", metavar="name", help=NAMED)
    parser.add_argument("--quick", action="store_true", help="the small sizes")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - {word for entry in ENTRIES for word in entry.words}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if chosen.names:
        entries = [entry for entry in ENTRIES if entry.words & set(chosen.names)]
    else:
        entries = [entry for entry in ENTRIES if not entry.words & ON_REQUEST]
    held = [_run(entry, entry.quick if chosen.quick else entry.long) for entry in entries]
    return 0 if all(held) else 1


def _run(entry: Entry, scenario: Scenario) -> bool:
    """Run one scenario and print its line; returns whether it holds."""
    label = f"{entry.guarantee} {entry.title} "
    print(f"{label:…<38} ", end="", flush=True)
    began = monotonic()
    try:
        with TemporaryDirectory() as data:
            outcome = asyncio.run(scenario(Path(data)))
    except Exception as error:  # a scenario that cannot be played to its end did not hold
        outcome = Outcome("", [f"{type(error).__name__}: {error}"])
    print(f"{'holds' if outcome.holds else 'BROKEN'}   {outcome.figures}   {monotonic() - began:.0f} s", flush=True)
    for failure in outcome.failures:
        print(f"     {failure}", flush=True)
    return outcome.holds


if __name__ == "__main__":
    sys.exit(main())
