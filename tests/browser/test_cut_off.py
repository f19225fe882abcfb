"""What a page shows whose process is cut off from the database, for as long as the real times take: in `make soak`."""

from pathlib import Path
from time import monotonic

import pytest

from tests.browser.conftest import GENEROUS, Gather
from tests.cluster.cluster import apart
from tests.cluster.network import skip_without_machines
from tests.postgres import skip_without
from tests.profile import PROFILE


@pytest.mark.skipif(PROFILE != "soak", reason="takes a minute: make soak")
def test_a_page_turns_yellow_and_red_when_its_process_is_cut_off(gather: Gather, tmp_path: Path) -> None:
    skip_without()
    skip_without_machines()
    with apart(tmp_path, **GENEROUS) as cluster:
        near, far = cluster.processes
        ann, bob = gather(near).member("Ann"), gather(far).member("Bob")
        for person in (ann, bob):
            person.foresees("Cross-Origin-Opener-Policy")  # which a browser ignores at a plain address
            person.opens()
        ann.says("before")
        bob.reads("before")
        cluster.network.cut(cluster.machines[0], cluster.database.machine)
        cut_at = monotonic()
        ann.finds_it("connecting", within=20)
        yellow = monotonic() - cut_at
        ann.finds_it("disconnected", within=20)
        red = monotonic() - cut_at
        bob.finds_it("connected").says("meanwhile")
        cluster.network.heal(cluster.machines[0], cluster.database.machine)
        healed_at = monotonic()
        ann.finds_it("connected", within=40).sees("before", "meanwhile")
        green = monotonic() - healed_at
        print(f"yellow after {yellow:.1f} s, red after {red:.1f} s, green {green:.1f} s after it healed")
        ann.says("after")
        for person in (ann, bob, bob.reloads()):
            person.sees("before", "meanwhile", "after")
