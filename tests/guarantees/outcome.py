"""What a scenario found."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """Whether a guarantee held, and the figures: `failures` say what went wrong, a sentence each."""

    figures: str
    failures: Sequence[str] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether nothing went wrong."""
        return not self.failures


def first(failures: Sequence[str], most: int = 5) -> list[str]:
    """Return the first of many failures, and how many there are more."""
    return [*failures[:most], *([f"… and {len(failures) - most} more"] if len(failures) > most else [])]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of `values` lie, by the nearest rank."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]
