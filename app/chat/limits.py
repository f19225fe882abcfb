"""Rate limits: token buckets per member, address and browser. The caller brings the time.

https://en.wikipedia.org/wiki/Token_bucket
"""

from collections import Counter
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from app.settings import Settings

ADDRESS_SHARE = 20  # times the limit of one browser: a whole event behind one address
ADDRESS_FRAMES = 4  # times the frames at once: 800 windows that come back in one moment, and 50 ms of work
ADDRESS_BURST = 2  # times the bytes at once: of frames that become the largest, each holds up everybody for 5 ms
# Characters of messages, for each that may come per second, and at once: a room shows 25 of the longest in 50 ms.
CHARACTERS, CHARACTERS_AT_ONCE = 400, 100
# How much more than one household's the networks around it may do, by their bits: an /48 has 65,536 of them.
WIDER = {56: 4, 48: 16}
SITE_BITS = 64  # of an IPv6 address: one household or server, https://www.rfc-editor.org/rfc/rfc6177

HOUR_SECONDS, DAY_SECONDS = 3_600, 86_400


class Bucket:
    """Holds up to `burst` tokens, regains `rate` of them per second, and starts full."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, tokens: float = 1) -> float:
        """Take `tokens` and return 0.0, or leave the bucket as it is and return the seconds until they are there.

        `now` is in seconds of a clock that does not go back; should it, no time has passed. Who wants more than the
        bucket holds gets it when it is full.
        """
        self._refill(now)
        tokens = min(tokens, self._burst)
        if self._tokens >= tokens:
            self._tokens -= tokens
            return 0.0
        return (tokens - self._tokens) / self._rate

    def charge(self, now: float, tokens: float) -> None:
        """Take `tokens` for work that is done already, at most a full bucket; it may become negative."""
        self._refill(now)
        self._tokens -= min(tokens, self._burst)

    def wait(self, now: float, tokens: float = 1) -> float:
        """Return the seconds until there are `tokens`, or as many as it holds; 0.0 if they are there."""
        self._refill(now)
        return max(0.0, (min(tokens, self._burst) - self._tokens) / self._rate)

    def refund(self, tokens: float = 1) -> None:
        """Put tokens back."""
        self._tokens = min(self._burst, self._tokens + tokens)

    def is_full(self, now: float) -> bool:
        """Whether this bucket is as good as a new one, and may be forgotten."""
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        self._at = max(self._at, now)


class Buckets:
    """One bucket per key (a member, an address). Full buckets are forgotten: a new one starts full."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, who: str, now: float) -> float:
        """Take a token from the bucket of `who`; returns as `Bucket.take`."""
        return self.of(who, now).take(now)

    def of(self, who: str, now: float) -> Bucket:
        """Return the bucket of `who`."""
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = Bucket(self._rate, self._burst, now)
        return bucket

    def refund(self, who: str, tokens: float = 1) -> None:
        """Put `tokens` back into the bucket of `who`."""
        if who in self._buckets:
            self._buckets[who].refund(tokens)

    def sweep(self, now: float) -> None:
        """Forget the buckets that have filled up again."""
        self._buckets = {who: bucket for who, bucket in self._buckets.items() if not bucket.is_full(now)}


class AddressBuckets:
    """Buckets of addresses and of the networks around them: a token is taken from all of them, or from none."""

    def __init__(self, rate: float, burst: float) -> None:
        self._by_width = [Buckets(rate * factor, burst * factor) for factor in (1, *WIDER.values())]

    def __len__(self) -> int:
        return sum(map(len, self._by_width))

    def take(self, address: str, now: float, tokens: float = 1) -> float:
        """Take `tokens` of `address`; returns as `Bucket.take`."""
        buckets = self.of(address, now)
        wait = max(bucket.wait(now, tokens) for bucket in buckets)
        if not wait:
            for bucket in buckets:
                bucket.take(now, tokens)
        return wait

    def of(self, address: str, now: float) -> list[Bucket]:
        """Return the bucket of `address`, and those of the networks around it."""
        return [buckets.of(network, now) for buckets, network in zip(self._by_width, networks(address), strict=False)]

    def refund(self, address: str, tokens: float = 1) -> None:
        """Put back `tokens` of `address`, as `Bucket.refund`."""
        for buckets, network in zip(self._by_width, networks(address), strict=False):
            buckets.refund(network, tokens)

    def sweep(self, now: float) -> None:
        """Forget the buckets that have filled up again."""
        for buckets in self._by_width:
            buckets.sweep(now)


class Limits:
    """All buckets of one process."""

    def __init__(self, settings: Settings) -> None:
        # By member
        self.messages = Buckets(settings.messages_per_second, settings.messages_burst)
        self.everybody = Buckets(settings.everybody_per_hour / HOUR_SECONDS, settings.everybody_burst)
        # By address
        self.address_messages = AddressBuckets(settings.address_messages_per_second, settings.address_messages_burst)
        self.characters = AddressBuckets(
            settings.address_messages_per_second * CHARACTERS, settings.address_messages_burst * CHARACTERS_AT_ONCE
        )
        self.creations = AddressBuckets(settings.creations_per_minute / 60, settings.creations_burst)
        self.rooms = AddressBuckets(settings.rooms_per_day / DAY_SECONDS, settings.rooms_burst)
        self.reads = AddressBuckets(settings.reads_per_second, settings.reads_burst)
        self.resumes = AddressBuckets(settings.resumes_per_second, settings.resumes_burst)
        self.frames = AddressBuckets(settings.frames_per_second * ADDRESS_SHARE, settings.frames_burst * ADDRESS_FRAMES)
        self.octets = AddressBuckets(settings.bytes_per_second * ADDRESS_SHARE, settings.bytes_burst * ADDRESS_BURST)
        # By browser
        self._frames = settings.frames_per_second, settings.frames_burst
        self._octets = settings.bytes_per_second, settings.bytes_burst

    def reading(self, address: str, now: float) -> "ReadLimit":
        """Return how fast a browser at `address` is read, which comes now."""
        return ReadLimit(Bucket(*self._frames, now), Bucket(*self._octets, now), self, address)

    def __len__(self) -> int:
        return sum(map(len, self._all()))

    def sweep(self, now: float) -> None:
        """Forget whom no limit needs to remember."""
        for buckets in self._all():
            buckets.sweep(now)

    def _all(self) -> tuple[Buckets | AddressBuckets, ...]:
        return (
            self.messages,
            self.everybody,
            self.address_messages,
            self.characters,
            self.creations,
            self.rooms,
            self.reads,
            self.resumes,
            self.frames,
            self.octets,
        )


class ReadLimit:
    """Limits how fast one browser is read, by its own buckets and those of its address.

    The cost of a frame is known after it was read, so it is charged then. The next frame waits until the buckets are
    positive again; a frame that waits costs only its bytes.
    """

    def __init__(self, frames: Bucket, octets: Bucket, limits: Limits, address: str) -> None:
        self._own_frames = frames
        self._own_octets = octets
        self._limits = limits
        self._address = address

    def charge(self, now: float, frames: int, octets: int) -> None:
        """Charge frames and bytes that were read."""
        for bucket in self._frames(now):
            bucket.charge(now, frames)
        for bucket in self._octets(now):
            bucket.charge(now, octets)

    def wait(self, now: float) -> float:
        """Return the seconds until the next frame may be read."""
        return max(bucket.wait(now) for bucket in (*self._frames(now), *self._octets(now)))

    def _frames(self, now: float) -> list[Bucket]:
        return [self._own_frames, *self._limits.frames.of(self._address, now)]

    def _octets(self, now: float) -> list[Bucket]:
        return [self._own_octets, *self._limits.octets.of(self._address, now)]


class Quota:
    """Counts what each address, and each network around it, holds at the moment: open sockets, or bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def acquire(self, address: str, count: int = 1) -> bool:
        """Take `count` of the quota of `address`; False if that exceeds it."""
        counted = networks(address)
        for network, factor in zip(counted, (1, *WIDER.values()), strict=False):
            if self._open[network] + count > self._most * factor:
                return False
        self._open.update(dict.fromkeys(counted, count))
        return True

    def release(self, address: str, count: int = 1) -> None:
        """Give `count` back."""
        for network in networks(address):
            self._open[network] -= count
            if self._open[network] <= 0:
                del self._open[network]


@lru_cache(maxsize=1024)
def site(address: str) -> str:
    """Return the unit that limits count: the IPv4 address, or the network of an IPv6 address.

    One who has an IPv6 address has 2^64 of them. What is no address (a proxy may say anything) stays as it is.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return f"{IPv6Address(int(ip) >> SITE_BITS << SITE_BITS)}/{SITE_BITS}"


@lru_cache(maxsize=1024)
def networks(address: str) -> tuple[str, ...]:
    """Return `address`, as `site` returns it, and the IPv6 networks around it."""
    if not address.endswith(f"/{SITE_BITS}"):
        return (address,)
    network = ip_network(address)
    return (address, *(str(network.supernet(new_prefix=bits)) for bits in WIDER))


@lru_cache(maxsize=1024)
def is_among(address: str, listed: str) -> bool:
    """Whether `address` is one of those `listed`, with commas between: addresses, networks, or `*` for any."""
    return any(each.strip() == "*" or _covers(each.strip(), address) for each in listed.split(","))


def _covers(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network)
    except ValueError:
        return network == address != ""
