"""How fast one may speak: a token bucket. The caller brings the time.

https://en.wikipedia.org/wiki/Token_bucket
"""


class Bucket:
    """Holds up to `burst` tokens, regains `rate` of them per second, and starts full."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> float:
        """Take a token and return 0.0, or leave the bucket as it is and return the seconds until there is one.

        `now` is in seconds of a clock that does not go back; should it, no time has passed.
        """
        self._refill(now)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate

    def refund(self) -> None:
        """Put back a token that was taken for nothing."""
        self._tokens = min(self._burst, self._tokens + 1)

    def is_full(self, now: float) -> bool:
        """Whether this bucket is as good as a new one, and may be forgotten."""
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        self._at = max(self._at, now)


class Buckets:
    """A bucket for each of many (members, addresses), without keeping those that would be full anyway."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, who: str, now: float) -> float:
        """Take a token of `who`; returns as `Bucket.take`."""
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = Bucket(self._rate, self._burst, now)
        return bucket.take(now)

    def refund(self, who: str) -> None:
        """Put back a token of `who`, as `Bucket.refund`."""
        if who in self._buckets:
            self._buckets[who].refund()

    def sweep(self, now: float) -> None:
        """Forget the buckets that have filled up again."""
        self._buckets = {who: bucket for who, bucket in self._buckets.items() if not bucket.is_full(now)}
