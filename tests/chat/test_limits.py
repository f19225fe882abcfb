"""How fast one may speak."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.limits import AddressBuckets, Bucket, Buckets, Limits, Quota, is_among, networks, site
from app.settings import Settings

A_MOMENT = 1e-6  # more than any rounding error, less than anybody notices

rates = st.floats(0.01, 1000)
bursts = st.integers(1, 100)
times = st.floats(-1000, 1_000_000)


@given(rates, bursts, st.lists(st.tuples(times, st.booleans()), max_size=40))
def test_a_bucket_never_gives_more_than_its_burst_and_its_refill(
    rate: float, burst: int, steps: list[tuple[float, bool]]
) -> None:
    # Whatever the clock does, and however many tokens come back.
    bucket = Bucket(rate, burst, now=0)
    latest = 0.0
    for now, refunds in steps:
        taken = 0
        while bucket.take(now) == 0:
            taken += 1
            assert taken <= burst
        latest = max(latest, now)
        if refunds:
            for _ in range(burst + 5):
                bucket.refund()
            assert bucket.is_full(latest)


@given(rates, bursts, st.lists(st.floats(0, 60), min_size=1, max_size=40))
def test_in_the_long_run_the_rate_holds(rate: float, burst: int, pauses: list[float]) -> None:
    bucket = Bucket(rate, burst, now=0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        while taken <= 5_000 and bucket.take(now) == 0:
            taken += 1
    assert taken <= burst + now * rate + A_MOMENT


@given(rates, bursts, times)
def test_a_token_is_there_after_the_announced_wait_and_not_before(rate: float, burst: int, now: float) -> None:
    bucket = Bucket(rate, burst, now)
    while not (wait := bucket.take(now)):
        pass
    assert 0 < wait <= 1 / rate + A_MOMENT
    assert bucket.take(now + wait * 0.99) > 0
    assert bucket.take(now + wait + A_MOMENT) == 0


def test_a_bucket_starts_full() -> None:
    bucket = Bucket(rate=1, burst=3, now=100)
    assert bucket.is_full(100)
    assert [bucket.take(100) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(100) == 1


def test_asking_in_vain_costs_nothing() -> None:
    bucket = Bucket(rate=2, burst=1, now=0)
    assert bucket.take(0) == 0
    assert [bucket.take(0) for _ in range(10)] == [0.5] * 10
    assert bucket.take(0.5) == 0


def test_after_a_long_pause_there_is_one_burst_and_no_more() -> None:
    bucket = Bucket(rate=1, burst=2, now=0)
    assert [bucket.take(1_000_000) for _ in range(3)] == [0, 0, 1]


def test_a_clock_set_back_refills_nothing() -> None:
    bucket = Bucket(rate=1, burst=1, now=100)
    assert bucket.take(100) == 0
    assert bucket.take(10) == 1
    assert bucket.take(99) == 1
    assert bucket.take(101) == 0


def test_a_refund_never_exceeds_the_burst() -> None:
    bucket = Bucket(rate=1, burst=1, now=0)
    bucket.take(0)
    bucket.refund()
    bucket.refund()
    assert [bucket.take(0), bucket.take(0)] == [0, 1]


def test_everybody_has_a_bucket_of_their_own() -> None:
    buckets = Buckets(rate=1, burst=1)
    assert [buckets.take("ann", 0), buckets.take("ann", 0), buckets.take("bob", 0)] == [0, 1, 0]
    buckets.refund("ann")
    assert [buckets.take("ann", 0), buckets.take("bob", 0)] == [0, 1]


def test_a_refund_to_a_stranger_gives_nothing() -> None:
    buckets = Buckets(rate=1, burst=1)
    buckets.refund("ann")
    assert len(buckets) == 0
    assert [buckets.take("ann", 0), buckets.take("ann", 0)] == [0, 1]


def test_a_sweep_forgets_full_buckets() -> None:
    buckets = Buckets(rate=1, burst=2)
    buckets.take("ann", 0)
    buckets.take("bob", 0)
    buckets.take("bob", 0)
    buckets.sweep(now=1)
    assert len(buckets) == 1
    # Who was forgotten has lost nothing, who was not has gained nothing.
    assert [buckets.take("ann", 1), buckets.take("ann", 1)] == [0, 0]
    assert buckets.take("bob", 1) == 0
    assert buckets.take("bob", 1) == pytest.approx(1)


def test_memory_does_not_grow_with_past_visitors() -> None:
    buckets = Buckets(rate=1, burst=1)
    for who in range(1_000):
        buckets.take(str(who), now=0)
    buckets.sweep(now=1)
    assert len(buckets) == 0


def test_a_quota_counts_and_forgets() -> None:
    quota = Quota(2)
    assert [quota.acquire("a") for _ in range(3)] == [True, True, False]
    assert quota.acquire("b")
    quota.release("a")
    assert quota.acquire("a")
    for _ in range(2):
        quota.release("a")
    quota.release("b")
    assert len(quota) == 0


@given(rates, bursts, st.lists(st.floats(0, 500), min_size=1, max_size=40))
def test_several_tokens_at_once_are_as_many_one_by_one(rate: float, burst: int, wanted: list[float]) -> None:
    bucket, now, taken = Bucket(rate, burst, now=0), 0.0, 0.0
    for tokens in wanted:
        while wait := bucket.take(now, tokens):
            now += wait + A_MOMENT
        taken += min(tokens, burst)
    assert taken <= burst + now * rate + A_MOMENT * 100


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_household(address: str, counted: str) -> None:
    assert site(address) == counted


@given(st.text())
def test_any_address_has_a_site(address: str) -> None:
    assert isinstance(site(address), str)


def test_every_limit_forgets_full_buckets() -> None:
    limits = Limits(Settings())
    for buckets in limits._all():
        buckets.take("somebody", now=0)
    assert len(limits) == len(limits._all())
    limits.sweep(now=1e9)
    assert len(limits) == 0


@pytest.mark.parametrize(
    ("address", "listed", "among"),
    [
        ("127.0.0.1", "127.0.0.1,::1", True),
        ("::1", "127.0.0.1, ::1", True),
        ("10.0.3.4", "10.0.0.0/16", True),
        ("10.1.3.4", "10.0.0.0/16", False),
        ("203.0.113.7", "*", True),
        ("", "127.0.0.1", False),
        ("", "", False),
        ("unix", "unix", True),
        ("203.0.113.7", "", False),
    ],
)
def test_only_listed_proxies_are_trusted(address: str, listed: str, among: bool) -> None:
    assert is_among(address, listed) is among


# The networks around an address


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", ("192.0.2.1",)),
        ("unknown", ("unknown",)),
        ("2001:db8:1:2304::/64", ("2001:db8:1:2304::/64", "2001:db8:1:2300::/56", "2001:db8:1::/48")),
    ],
)
def test_an_address_is_counted_by_its_site(address: str, counted: tuple[str, ...]) -> None:
    assert networks(address) == counted


@pytest.mark.breaks("app/chat/limits.py", "for factor in (1, *WIDER.values())]", "for factor in (1,)]")
def test_many_networks_count_as_sixteen_households() -> None:
    buckets = AddressBuckets(rate=1, burst=10)
    hosts = [site(f"2001:db8:1:{number:x}::1") for number in range(4096)]
    taken = [host for host in hosts for _ in range(10) if not buckets.take(host, 0)]
    assert len(taken) == 160
    assert len(set(taken[:40])) == 4
    assert buckets.take(site("2001:db8:2::1"), 0) == 0.0
    assert buckets.take("192.0.2.1", 0) == 0.0


def test_a_refused_request_takes_no_token() -> None:
    buckets = AddressBuckets(rate=1, burst=1)
    one, other = site("2001:db8:1:1::1"), site("2001:db8:1:2::1")
    assert [buckets.take(one, 0) for _ in range(9)] == [0.0] + [1.0] * 8
    assert buckets.take(other, 0) == 0.0


def test_several_tokens_are_taken_of_all_buckets_or_of_none_and_come_back() -> None:
    buckets = AddressBuckets(rate=10, burst=100)
    assert buckets.take("2001:db8::1", 0, 90) == 0
    assert buckets.take("2001:db8::1", 0, 30) == 2
    assert buckets.take("2001:db8::1", 0, 10) == 0
    buckets.refund("2001:db8::1", 50)
    assert buckets.take("2001:db8::1", 0, 50) == 0
    assert buckets.take("2001:db8::1", 10, 500) == 0  # as much as it holds


@pytest.mark.breaks("app/chat/limits.py", "self._most * factor:", "10**9:")
def test_sockets_of_neighbouring_networks_are_counted_together() -> None:
    quota = Quota(10)
    hosts = [site(f"2001:db8:1:{number:x}::1") for number in range(4096)]
    entered = [host for host in hosts for _ in range(10) if quota.acquire(host)]
    assert len(entered) == 160
    for host in entered:
        quota.release(host)
    assert len(quota) == 0


def test_a_conference_of_400_behind_one_address_comes_and_talks() -> None:
    """Two windows each, within two minutes, then a restart, then talk: by the limits as they are by default."""
    settings, address = Settings(), "192.0.2.1"
    limits, windows = Limits(settings), Quota(settings.connections_per_address)
    assert settings.pending_requests_per_address >= 400
    refused = 0
    for number in range(400):
        now = number * 0.3
        refused += bool(limits.creations.take(address, now))
        for _ in range(2):  # a page, the name, the page again, something older; then the socket
            refused += sum(bool(limits.reads.take(address, now)) for _ in range(4))
            refused += bool(limits.resumes.take(address, now))
            refused += not windows.acquire(address)
    refused += sum(bool(limits.resumes.take(address, 300)) for _ in range(800))  # all at once, after a restart
    readings = [limits.reading(address, 300) for _ in range(800)]
    for reading in readings:
        refused += bool(reading.wait(300))
        reading.charge(300, 1, 1_000)
    for second in range(60):  # each says something every ten seconds
        now = 301 + second
        for reading in readings[:40]:
            refused += bool(limits.address_messages.take(address, now))
            refused += bool(reading.wait(now))
            reading.charge(now, 1, 300)
    assert refused == 0
