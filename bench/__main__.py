"""The command line: `python -m bench [scenario …]`. Measures, prints, and writes what the pages of docs/ show."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import machine
from bench.client import Failed
from bench.measures import Figures
from bench.report import between_markers, campfire_table, number, report, with_unit
from bench.results import Results, read
from bench.scenarios import PAGES, SCENARIOS, Case, Scenario
from bench.servers import BUILD, COMPETITORS
from bench.sizes import FULL, QUICK, Sizes

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results.json"
DOCS = ROOT / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status: 0 where every measurement counts."""
    chosen = _parse(arguments)
    about = machine.describe()
    is_kept = not (chosen.quick or chosen.servers)
    results = read(RESULTS, about) if is_kept else Results(about)
    if not chosen.report:
        _prepare()
        scenarios = [each for each in SCENARIOS.values() if each.name in chosen.names or not chosen.names]
        run = Run(results, QUICK if chosen.quick else FULL, chosen.rounds, chosen.servers)
        for scenario in scenarios:
            run.play(scenario, chosen.add)
            if is_kept:  # as soon as it is there: a run is long
                publish(results)
        print("", *filter(None, (report(results, page) for page in PAGES)), sep="\n")
        if run.failures:
            print("\nThese do not count:", *run.failures, sep="\n  ", file=sys.stderr)
            return 1
    elif is_kept:
        publish(results)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Parlor beside its alternatives.")
    parser.add_argument("names", nargs="*", metavar="scenario", help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, help="how often each measurement is made (5; 1 with --quick)")
    parser.add_argument("--add", action="store_true", help="keep the rounds that there are, and make others")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; writes nothing")
    parser.add_argument(
        "--servers", nargs="+", metavar="server", help=f"only of {', '.join(COMPETITORS)}; writes nothing"
    )
    parser.add_argument("--report", action="store_true", help="measure nothing, write table and pictures anew")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(SCENARIOS) | set(chosen.servers or ()) - set(COMPETITORS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 5)
    return chosen


def _prepare() -> None:
    machine.cores()
    machine.allow_many_files()
    BUILD.mkdir(exist_ok=True)
    if machine.is_in_memory(BUILD, Path("/proc/self/mounts").read_text()):
        print(f"{BUILD} is in memory: what is stored there costs less than it should.", file=sys.stderr)
    if not machine.is_quiet(load := os.getloadavg()[0]):
        print(f"This machine is busy (load {load:.1f}): the figures will be worse than they are.", file=sys.stderr)


def publish(results: Results) -> None:
    """Write figures, tables and pictures to where they are kept."""
    from bench.plot import draw  # takes a second to import, and is not needed to measure

    results.save(RESULTS)
    for page in PAGES:
        if text := report(results, page):
            _write(page, "Figures", text)
    if report(results):
        _write("performance", "Campfire", campfire_table(results))
    draw(results, DOCS / "images")


def _write(page: str, name: str, text: str) -> None:
    path = DOCS / f"{page}.md"
    path.write_text(between_markers(path.read_text(), name, text))


class Run:
    """One run: `rounds` of each scenario, in each round every case of every server, in turn."""

    def __init__(self, results: Results, sizes: Sizes, rounds: int, servers: Sequence[str] | None) -> None:
        self._results = results
        self._sizes = sizes
        self._rounds = rounds
        self._servers = servers
        self.failures: list[str] = []  # measurements that do not count, a line each

    def play(self, scenario: Scenario, add: bool = False) -> None:
        """Measure all rounds of `scenario`; those that there are stay where it is to `add` to them."""
        for case in scenario.cases:
            self._results.begin(case.name, datetime.now(UTC).date().isoformat(), add)
        for turn in range(1, self._rounds + 1):
            print(f"{scenario.name}, round {turn} of {self._rounds}", flush=True)
            self._round(scenario)

    def _round(self, scenario: Scenario) -> None:
        for case in scenario.cases:
            for server in case.servers:
                if self._servers is None or server in self._servers:
                    self._measure(case, server)

    def _measure(self, case: Case, server: str) -> None:
        """Measure once, or again where others were at work meanwhile; the least disturbed time counts."""
        found: list[tuple[float, Figures]] = []
        while len(found) < case.tries and (not found or found[-1][0] > machine.DISTURBED):
            print(f"  {case.name:18} {server:9} ", end="", flush=True)
            began = machine.effort()
            try:
                figures = case.measure(COMPETITORS[server], self._sizes)
            except (Failed, RuntimeError) as error:
                self.failures.append(f"{case.name} of {server}: {error}")
                print(f"FAILED: {error}", flush=True)
                return
            others = machine.effort().others_since(began) if case.tries > 1 else 0
            found.append((others, figures))
            print(f"{_line(case, figures)}{_disturbance(others)}{_saturation(figures)}", flush=True)
        others, figures = min(found, key=lambda one: one[0])
        self._results.add(case.name, server, {**figures, "others": others})


def _disturbance(others: float) -> str:
    return f"  (others took {others:.0%} of a core)" if others > machine.DISTURBED else ""


def _saturation(figures: Figures) -> str:
    share = figures.get("client", 0)
    return f"  (the load took {share:.0%} of its core)" if share > machine.SATURATED else ""


def _line(case: Case, figures: Figures) -> str:
    return ", ".join(
        f"{column.title} {with_unit(number(figures[column.name]), column.unit)}"
        for column in case.columns
        if column.name in figures
    )


if __name__ == "__main__":
    sys.exit(main())
