"""What Parlor is to reach, row by row: a figure of its own, or the ratio of two medians of one run; what others did.

Plain values: what came of them is in `results`, how it is shown in `report`.
"""

from dataclasses import dataclass

from bench.results import Figure, Results


@dataclass(frozen=True)
class Goal:
    """A figure, alone or `over` another, that must not be worse than `must`, and should be as good as `aim`.

    None where there is nothing to reach. `more`: whether more is better. `unit` is that of the value, or empty.
    """

    row: str
    what: str
    of: Figure
    over: Figure | None = None
    must: float | None = None
    aim: float | None = None
    unit: str = ""
    more: bool = False

    def value(self, results: Results) -> float | None:
        """Return what was reached; None where it was not measured."""
        if self.over:
            return results.ratio(self.of, self.over)
        stat = results.stat(self.of)
        return stat.median if stat else None

    def verdict(self, results: Results) -> str:
        """Return `aim`, `must` or `missed`; empty where there is nothing to reach or nothing was measured."""
        value = self.value(results)
        if value is None or (self.must is None and self.aim is None):
            return ""
        if self._reaches(value, self.aim):
            return "aim"
        return "must" if self.must is None or self._reaches(value, self.must) else "missed"

    def _reaches(self, value: float, bound: float | None) -> bool:
        return bound is not None and (value >= bound if self.more else value <= bound)


@dataclass(frozen=True)
class Published:
    """What others have published of theirs, in words, beside a figure of ours, which is in `unit`."""

    what: str
    of: Figure
    unit: str
    theirs: str


def _parlor(case: str, name: str) -> Figure:
    return Figure(case, "parlor", name)


def _broadcasts() -> list[Goal]:
    one, deflated = "One message to 1,000", "The same, compression offered"
    plain, compressed = _parlor("broadcast", "median"), _parlor("broadcast-deflate", "median")
    limit, loop = Figure("broadcast", "limit", "median"), Figure("broadcast-deflate", "guide", "median")
    return [
        Goal(one, "× the C server", plain, limit, must=1.6, aim=1.4),
        Goal(one, "× Node's ws", plain, Figure("broadcast", "ws", "median"), aim=0.9),
        Goal(
            deflated,
            "× the C server",
            compressed,
            Figure("broadcast-deflate", "limit", "median"),
            must=1.6,
            aim=1.4,
        ),
        Goal(deflated, "times as fast as the plain loop", loop, compressed, must=6, aim=8, more=True),
        Goal(deflated, "of the bytes", _parlor("broadcast-deflate", "bytes"), _parlor("broadcast", "bytes"), aim=0.3),
        *(
            Goal(
                f"One message to 4,000{name}",
                "× the C server",
                _parlor(case, "median"),
                Figure(case, "limit", "median"),
                must=1.8,
                aim=1.5,
            )
            for case, name in (("crowd", ""), ("crowd-deflate", ", compression offered"))
        ),
    ]


def _rates() -> list[Goal]:
    tail = "1,000 messages to 1,000, one after the other"
    return [
        Goal(tail, "p99 × the median", _parlor("tail", "p99"), _parlor("tail", "median"), must=2, aim=1.6),
        Goal(tail, "worst", _parlor("tail", "worst"), must=50, aim=15, unit="ms"),
        Goal(
            "Sustained to 1,000, p99 under 100 ms",
            "messages",
            _parlor("sustained", "rate"),
            must=1000,
            aim=3000,
            unit="/s",
            more=True,
        ),
        Goal(
            "Stored, 32 senders that await receipts",
            "messages",
            _parlor("stored", "rate"),
            must=5000,
            aim=9000,
            unit="/s",
            more=True,
        ),
    ]


def _connections() -> list[Goal]:
    cases = (("idle", ""), ("idle-deflate", ", compression offered"))
    return [
        *(
            Goal(f"An idle connection{name}", "memory", _parlor(case, "memory"), must=33, aim=20, unit="kB")
            for case, name in cases
        ),
        *(
            Goal(
                f"4,000 connections accepted and resumed{name}",
                "× the plain loop's accepting",
                _parlor(case, "seconds"),
                Figure(case, "guide", "seconds"),
                must=1,
                aim=0.6,
            )
            for case, name in cases
        ),
    ]


def _slow() -> list[Goal]:
    one, many = "One of 1,000 stops reading", "50 of 1,000 stop reading, 100 messages/s"
    beside = _parlor("slow-none", "p99")
    return [
        Goal(one, "the others' p99 × without", _parlor("slow", "p99"), beside, must=1.5, aim=1.1),
        Goal(one, "longest silence", _parlor("slow", "silence"), must=1, aim=0.1, unit="s"),
        Goal(many, "memory", _parlor("slow-many", "memory"), must=50, aim=10, unit="MB"),
        Goal(many, "cut off after", _parlor("slow-many", "cut_after"), aim=10, unit="s"),
    ]


def _others() -> list[Goal]:
    page = "A room's page of 50 messages"
    return [
        Goal(page, "pages", _parlor("pages", "rate"), must=800, aim=1500, unit="/s", more=True),
        Goal(page, "unchanged", _parlor("pages", "unchanged"), unit="/s", more=True),
        Goal(
            "A page open for 20,000 messages",
            "one more, × when it was new",
            _parlor("open", "old"),
            _parlor("open", "new"),
            must=1.5,
        ),
        Goal(
            "A page open for 20,000 messages",
            "18 keys, × when it was new",
            _parlor("open", "old_keys"),
            _parlor("open", "new_keys"),
            must=1.5,
        ),
        Goal(
            "A delivery in 1,000 rooms of 5",
            "× in one of 5,000",
            _parlor("rooms", "many"),
            _parlor("rooms", "one"),
            must=1.5,
            aim=1.2,
        ),
        Goal("One message to 10,000", "last reader", _parlor("most", "median"), aim=60, unit="ms"),
    ]


# 37signals' chat, and what it was ported to.
CAMPFIRE = (
    Published("One message to 10,000", _parlor("most", "median"), "ms", "Rust 40 ms, Rails 3,635 ms"),
    Published(
        "Messages stored",
        _parlor("stored", "rate"),
        "/s",
        "Go 9,021/s, Express 2,155/s, Rails 323/s, Python 112/s",
    ),
    Published("A room's page", _parlor("pages", "rate"), "/s", "Python 478/s"),
    Published("An idle connection", _parlor("idle", "memory"), "kB", "Rust 15 kB"),
)
GOALS = (*_broadcasts(), *_rates(), *_connections(), *_slow(), *_others())
