"""How fast one may speak."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.limits import Bucket, Buckets, Limits, Turnstile, is_among, site
from app.settings import Settings

A_MOMENT = 1e-6  # more than any rounding error, less than anybody notices

rates = st.floats(0.01, 1000)
bursts = st.integers(1, 100)
times = st.floats(-1000, 1_000_000)


@given(rates, bursts, st.lists(st.tuples(times, st.booleans()), max_size=40))
def test_a_bucket_never_gives_more_than_its_burst_and_what_flowed_in(
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
def test_who_waits_as_long_as_told_gets_a_token_and_not_before(rate: float, burst: int, now: float) -> None:
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


def test_while_the_clock_is_behind_no_time_passes() -> None:
    bucket = Bucket(rate=1, burst=1, now=100)
    assert bucket.take(100) == 0
    assert bucket.take(10) == 1
    assert bucket.take(99) == 1
    assert bucket.take(101) == 0


def test_a_refund_makes_up_for_what_was_taken_and_no_more() -> None:
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


def test_a_sweep_forgets_those_who_paused_long_enough() -> None:
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


def test_memory_does_not_grow_with_those_who_have_gone() -> None:
    buckets = Buckets(rate=1, burst=1)
    for who in range(1_000):
        buckets.take(str(who), now=0)
    buckets.sweep(now=1)
    assert len(buckets) == 0


def test_a_turnstile_counts_and_forgets() -> None:
    turnstile = Turnstile(2)
    assert [turnstile.enter("a") for _ in range(3)] == [True, True, False]
    assert turnstile.enter("b")
    turnstile.leave("a")
    assert turnstile.enter("a")
    for _ in range(2):
        turnstile.leave("a")
    turnstile.leave("b")
    assert len(turnstile) == 0


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
def test_one_who_has_a_network_counts_as_one(address: str, counted: str) -> None:
    assert site(address) == counted


@given(st.text())
def test_whatever_an_address_is_it_counts_as_something(address: str) -> None:
    assert isinstance(site(address), str)


def test_every_limit_forgets_whom_it_need_not_remember() -> None:
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
def test_a_proxy_is_one_of_those_listed(address: str, listed: str, among: bool) -> None:
    assert is_among(address, listed) is among
