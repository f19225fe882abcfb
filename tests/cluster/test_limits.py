"""Shared rate limits: concurrent requests share a query."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cluster.limits import Denial, Pace, SharedLimits, Token, share, wish
from app.settings import Settings
from app.store.cluster_queries import Grant, TokenRequest
from app.store.errors import StoreUnavailable
from app.store.shared_tables import SharedTables
from tests.logs import until

BURST = 3


class Shared:
    """The buckets, where no time passes; `gone` when they cannot be asked, `answering` when they may answer."""

    def __init__(self) -> None:
        self.left: dict[str, float] = {}
        self.askings: list[dict[str, int]] = []
        self.gone: Exception | None = None
        self.answering = asyncio.Event()
        self.answering.set()
        self.swept = 0

    async def take_tokens(self, requests: Mapping[str, TokenRequest]) -> dict[str, Grant]:
        self.askings.append({bucket: wish.tokens for bucket, wish in requests.items()})
        await self.answering.wait()
        if self.gone:
            raise self.gone
        return {bucket: self._take(bucket, wish) for bucket, wish in requests.items()}

    def _take(self, bucket: str, wish: TokenRequest) -> Grant:
        left = self.left.get(bucket, wish.burst)
        granted = min(wish.tokens, int(left))
        self.left[bucket] = min(wish.burst, left - granted)
        return Grant(granted, 7)

    async def forget_full_buckets(self) -> None:
        self.swept += 1


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest.fixture
def shared_limits(shared: Shared) -> SharedLimits:
    settings = Settings(messages_burst=BURST, address_messages_burst=5, creations_burst=2)
    return SharedLimits(settings, cast(SharedTables, shared))


async def idle(shared_limits: SharedLimits) -> None:
    await until(lambda: shared_limits._answering is None)


async def test_concurrent_requests_share_a_statement(shared_limits: SharedLimits, shared: Shared) -> None:
    shared.answering.clear()
    first = asyncio.create_task(shared_limits.message("ann", "home"))
    await until(lambda: bool(shared.askings))
    others = [asyncio.create_task(shared_limits.message(who, "home")) for who in ("ann", "bob")]
    others.append(asyncio.create_task(shared_limits.creation("home")))
    await asyncio.sleep(0)
    shared.answering.set()
    assert await asyncio.gather(first, *others) == [None] * 4
    assert shared.askings == [
        {"message ann": 1, "address home": 1},
        {"message ann": 1, "message bob": 1, "address home": 2, "creation home": 1},
    ]


async def test_a_denial_names_the_wait(shared_limits: SharedLimits) -> None:
    asked = await asyncio.gather(*(shared_limits.message("ann", "home") for _ in range(BURST + 2)))
    assert asked == [None] * BURST + [Denial(SharedLimits.MESSAGE, 7)] * 2
    assert await shared_limits.creation("home") is None
    assert await shared_limits.creation("home") is None
    assert await shared_limits.creation("home") == Denial(SharedLimits.CREATION, 7)


@pytest.mark.breaks("app/cluster/limits.py", "self._refunds.update(left)", "pass")
async def test_a_denied_request_takes_no_shared_token(shared_limits: SharedLimits, shared: Shared) -> None:
    for number in range(5):
        assert await shared_limits.message(f"member {number}", "home") is None
    assert await shared_limits.message("ann", "home") == Denial(SharedLimits.ADDRESS, 7)
    await idle(shared_limits)
    assert shared.left["message ann"] == BURST
    assert shared.left["address home"] == 0


async def test_tokens_of_unstored_messages_are_refunded(shared_limits: SharedLimits, shared: Shared) -> None:
    await shared_limits.message("ann", "home")
    shared_limits.refund_message("ann", "home")
    await idle(shared_limits)
    assert shared.left == {"message ann": BURST, "address home": 5}


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), ValueError("broken")])
async def test_unreachable_buckets_deny_nobody(shared_limits: SharedLimits, shared: Shared, error: Exception) -> None:
    shared.gone = error
    assert await asyncio.gather(*(shared_limits.message("ann", "home") for _ in range(50))) == [None] * 50
    shared_limits.refund_message("ann", "home")
    await idle(shared_limits)
    shared.gone = None
    assert await shared_limits.message("ann", "home") is None


@pytest.mark.breaks("app/cluster/limits.py", "asked, self._asked = [*asked, *self._asked], []", "pass")
async def test_requests_during_an_outage_do_not_wait_for_a_retry(shared_limits: SharedLimits, shared: Shared) -> None:
    shared.answering.clear()
    first = asyncio.create_task(shared_limits.message("ann", "home"))
    await until(lambda: bool(shared.askings))
    second = asyncio.create_task(shared_limits.message("bob", "home"))
    await asyncio.sleep(0)
    shared.gone = StoreUnavailable("gone")
    shared.answering.set()
    assert (await first, await second) == (None, None)
    await idle(shared_limits)
    assert shared.askings == [{"message ann": 1, "address home": 1}]


async def test_a_caller_may_be_gone_when_the_answer_arrives(shared_limits: SharedLimits, shared: Shared) -> None:
    shared.answering.clear()
    asking = [asyncio.create_task(shared_limits.message("ann", "home")) for _ in range(2)]
    await until(lambda: bool(shared.askings))
    asking[0].cancel()
    shared.answering.set()
    assert await asking[1] is None


async def test_sweeping_asks_for_nothing_else(shared_limits: SharedLimits, shared: Shared) -> None:
    shared_limits.sweep()
    await idle(shared_limits)
    assert shared.swept == 1
    assert shared.askings == []


WHO = st.sampled_from(["ann", "bob"])
TOKENS = st.builds(lambda pace, who: Token(Pace(pace, 1, BURST), who), st.sampled_from(["message", "address"]), WHO)
ASKED = st.lists(st.lists(TOKENS, min_size=1, max_size=2, unique=True), max_size=8)


@given(ASKED, st.dictionaries(TOKENS, st.integers(1, 3)), st.dictionaries(TOKENS, st.integers(0, BURST)))
def test_tokens_are_shared_out_to_the_last_one(
    asked: list[list[Token]], refunds: dict[Token, int], there: dict[Token, int]
) -> None:
    """Who was granted all they asked for has it, nobody has more than there was, and what is left comes back."""
    requests = wish(asked, Counter(refunds))
    stocked = {token.bucket: there.get(token, 0) for tokens in (*asked, list(refunds)) for token in tokens}
    granted = {bucket: Grant(min(wished.tokens, stocked[bucket]), 1) for bucket, wished in requests.items()}
    denials, left = share(asked, refunds, granted)
    taken = Counter(token for tokens, denial in zip(asked, denials, strict=True) if not denial for token in tokens)
    for token in {token for tokens in asked for token in tokens}:
        had = granted[token.bucket].tokens + refunds.get(token, 0)
        assert taken[token] + left.get(token, 0) == had <= stocked[token.bucket] + refunds.get(token, 0)
    for tokens, denial in zip(asked, denials, strict=True):
        if denial:
            assert any(token.pace.kind == denial.kind and left.get(token, 0) == 0 for token in tokens)
