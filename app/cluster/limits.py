"""Token-bucket rate limits shared by all processes.

Requests that arrive during a query are answered together by the next one. Limits that protect a single process
(frames, bytes, reads, sockets) are not shared.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from app.chat.limits import DAY_SECONDS, HOUR_SECONDS, WIDER, networks
from app.settings import Settings
from app.store.cluster_queries import Grant, TokenRequest
from app.store.errors import StoreUnavailable
from app.store.shared_tables import SharedTables

log = structlog.get_logger("parlor.limits")

LARGEST_ASKING = 500  # tokens in one statement


class Pace(NamedTuple):
    """A kind of bucket: holds up to `burst` tokens and regains `rate` of them per second."""

    kind: str
    rate: float
    burst: float


class Token(NamedTuple):
    """One token of the bucket of `who`."""

    pace: Pace
    who: str

    @property
    def bucket(self) -> str:
        """The name of the bucket among all."""
        return f"{self.pace.kind} {self.who}"


class Denial(NamedTuple):
    """There is no token of this `kind`; the next one comes in `wait` seconds."""

    kind: str
    wait: float


class SharedLimits:
    """The shared buckets. If the database does not answer, they refuse nothing: each process has its own, too."""

    MESSAGE, ADDRESS, CREATION, ROOM, EVERYBODY = "message", "address", "creation", "room", "everybody"

    def __init__(self, settings: Settings, tables: SharedTables) -> None:
        self._messages = Pace(self.MESSAGE, settings.messages_per_second, settings.messages_burst)
        self._addresses = Pace(self.ADDRESS, settings.address_messages_per_second, settings.address_messages_burst)
        self._creations = Pace(self.CREATION, settings.creations_per_minute / 60, settings.creations_burst)
        self._rooms = Pace(self.ROOM, settings.rooms_per_day / DAY_SECONDS, settings.rooms_burst)
        self._everybody = Pace(self.EVERYBODY, settings.everybody_per_hour / HOUR_SECONDS, settings.everybody_burst)
        self._tables = tables
        self._asked: list[tuple[Sequence[Token], asyncio.Future[Denial | None]]] = []
        self._refunds: Counter[Token] = Counter()
        self._is_sweep_due = False
        self._answering: asyncio.Task[None] | None = None

    async def message(self, member_id: str, address: str) -> Denial | None:
        """Take a token for a message of a member, from an address; return a denial, or None."""
        return await self._take(Token(self._messages, member_id), *tokens_of(self._addresses, address))

    def refund_message(self, member_id: str, address: str) -> None:
        """Put back the tokens of a message that was not stored."""
        self._refund([Token(self._messages, member_id), *tokens_of(self._addresses, address)])

    async def everybody(self, member_id: str) -> Denial | None:
        """Take a token for a member who mentions everybody; return a denial, or None."""
        return await self._take(Token(self._everybody, member_id))

    async def creation(self, address: str) -> Denial | None:
        """Take a token for a name or a room that an address asks for; return a denial, or None."""
        return await self._take(*tokens_of(self._creations, address))

    async def room(self, address: str) -> Denial | None:
        """Take a token for a room that an address creates; return a denial, or None."""
        return await self._take(*tokens_of(self._rooms, address))

    def refund_room(self, address: str) -> None:
        """Put back the tokens of a room that was not created."""
        self._refund(tokens_of(self._rooms, address))

    def sweep(self) -> None:
        """Have the buckets forgotten that have filled up again."""
        self._is_sweep_due = True
        self._have_answered()

    async def _take(self, *tokens: Token) -> Denial | None:
        answer: asyncio.Future[Denial | None] = asyncio.get_running_loop().create_future()
        self._asked.append((tokens, answer))
        self._have_answered()
        return await answer

    def _refund(self, tokens: Iterable[Token]) -> None:
        self._refunds.update(tokens)
        self._have_answered()

    def _have_answered(self) -> None:
        if self._answering is None:
            # It starts in the loop's next turn: requests of this one share a query.
            self._answering = asyncio.create_task(self._answer_all(), name="shared limits")

    async def _answer_all(self) -> None:
        try:
            while self._asked or self._refunds or self._is_sweep_due:
                await self._answer_some()
                if self._is_sweep_due and not self._asked:
                    await self._sweep()
        finally:
            self._answering = None

    async def _answer_some(self) -> None:
        asked, self._asked = self._asked[:LARGEST_ASKING], self._asked[LARGEST_ASKING:]
        refunds, self._refunds = self._refunds, Counter()
        try:
            denials = await self._ask([tokens for tokens, _ in asked], refunds)
        except Exception as error:
            if not isinstance(error, StoreUnavailable):
                log.exception("not asked")
            # Grant requests that arrived meanwhile, too: another query may take as long, and nothing can be stored.
            asked, self._asked = [*asked, *self._asked], []
            denials = [None] * len(asked)
        for (_, answer), denial in zip(asked, denials, strict=True):
            if not answer.done():  # the caller may be cancelled
                answer.set_result(denial)

    async def _ask(self, asked: Sequence[Sequence[Token]], refunds: Counter[Token]) -> list[Denial | None]:
        requests = wish(asked, refunds)
        denials, left = share(asked, refunds, await self._tables.take_tokens(requests) if requests else {})
        self._refunds.update(left)
        return denials

    async def _sweep(self) -> None:
        self._is_sweep_due = False
        with suppress(StoreUnavailable):  # they can wait
            await self._tables.forget_full_buckets()


def tokens_of(pace: Pace, address: str) -> list[Token]:
    """Return a token of `address`, and one of each network around it, which may do more."""
    counted = zip(networks(address), (1, *WIDER.values()), strict=False)
    return [Token(Pace(pace.kind, pace.rate * factor, pace.burst * factor), network) for network, factor in counted]


def wish(asked: Iterable[Sequence[Token]], refunds: Mapping[Token, int]) -> dict[str, TokenRequest]:
    """Return by bucket how many tokens to request: those `asked` for, less the refunds."""
    wanted = Counter(token for tokens in asked for token in tokens)
    wanted.subtract(refunds)
    return {token.bucket: TokenRequest(count, token.pace.rate, token.pace.burst) for token, count in wanted.items()}


def share(
    asked: Sequence[Sequence[Token]], refunds: Mapping[Token, int], granted: Mapping[str, Grant]
) -> tuple[list[Denial | None], dict[Token, int]]:
    """Return for each request in turn what denies it, and the tokens that are left.

    Who does not get all gets none.
    """
    left = Counter({token: granted[token.bucket].tokens for tokens in asked for token in tokens})
    left.update({token: count for token, count in refunds.items() if token in left})
    denials = [_take_all(tokens, left, granted) for tokens in asked]
    return denials, {token: count for token, count in left.items() if count > 0}


def _take_all(tokens: Sequence[Token], left: Counter[Token], granted: Mapping[str, Grant]) -> Denial | None:
    missing = next((token for token in tokens if left[token] <= 0), None)
    if missing:
        return Denial(missing.pace.kind, granted[missing.bucket].wait)
    left.subtract(tokens)
    return None
