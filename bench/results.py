"""What was measured: figures by case, server and round, kept as JSON; medians and ratios of them."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Stat:
    """The rounds of one figure: median, least and most."""

    median: float
    least: float
    most: float


def stat(values: Sequence[float]) -> Stat:
    """Return the median and the spread of `values`, of which there is one at least."""
    return Stat(median(values), min(values), max(values))


@dataclass(frozen=True)
class Figure:
    """Which figure: its case, whose, and its name there."""

    case: str
    server: str
    name: str


@dataclass
class Results:
    """All figures; `about` says of which machine and versions, `dates` when each case was measured."""

    about: dict[str, str]
    dates: dict[str, str] = field(default_factory=dict)
    cases: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    def begin(self, case: str, date: str, add: bool = False) -> None:
        """Forget what `case` had: its rounds belong together; or `add` to them."""
        self.dates[case] = date
        if not add or case not in self.cases:
            self.cases[case] = {}

    def add(self, case: str, server: str, figures: Mapping[str, float]) -> None:
        """Add one round of `server`."""
        rounds = self.cases[case].setdefault(server, {})
        for name, value in figures.items():
            rounds.setdefault(name, []).append(value)

    def stat(self, figure: Figure) -> Stat | None:
        """Return median and spread of a figure; None where it was not measured."""
        values = self.cases.get(figure.case, {}).get(figure.server, {}).get(figure.name)
        return stat(values) if values else None

    def ratio(self, of: Figure, over: Figure) -> float | None:
        """Return the ratio of two medians; None where one is missing."""
        above, below = self.stat(of), self.stat(over)
        return above.median / below.median if above and below and below.median else None

    def only(self, cases: Collection[str]) -> "Results":
        """Return those of `cases`."""
        dates = {case: date for case, date in self.dates.items() if case in cases}
        return Results(self.about, dates, {case: self.cases[case] for case in dates})

    def all(self, name: str) -> list[float]:
        """Return the figure `name` of every round of every server of every case."""
        servers = [figures for case in self.cases.values() for figures in case.values()]
        return [value for figures in servers for value in figures.get(name, [])]

    def rounds(self, case: str) -> int:
        """Return how often `case` was measured, for the server that has most."""
        values = [len(each) for figures in self.cases.get(case, {}).values() for each in figures.values()]
        return max(values, default=0)

    def save(self, path: Path) -> None:
        """Write everything to `path`."""
        text = json.dumps({"about": self.about, "dates": self.dates, "cases": self.cases}, indent=1)
        path.write_text(_on_one_line(text) + "\n")


def _on_one_line(text: str) -> str:
    """Return `text`, indented JSON, with each list of numbers on one line."""
    return re.sub(r"\[[^\[\]]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)


def read(path: Path, about: dict[str, str]) -> Results:
    """Return what stands in `path`, if it is of the same machine and versions; else nothing that could be mixed up."""
    if path.exists():
        known = json.loads(path.read_text())
        if known["about"] == about:
            return Results(**known)
    return Results(about)
