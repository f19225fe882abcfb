"""What was measured, as tables: printed, and put between the markers of the pages that show it.

Markdown, which reads well in both places. This module measures nothing.
"""

from collections.abc import Iterable, Sequence

from bench.goals import CAMPFIRE, GOALS, Goal, Published
from bench.machine import DISTURBED, SATURATED
from bench.results import Figure, Results, Stat
from bench.scenarios import SCENARIOS, Case, Column
from bench.servers import COMPETITORS

BEGIN = "<!-- {}, written by `make bench`: begin -->"
END = "<!-- {}, written by `make bench`: end -->"
NOTHING = "–"
MARK = "†"  # of a figure that may be the load client's
VERDICTS = {"aim": "**aim**", "must": "must", "missed": "missed", "": ""}


def report(results: Results, page: str = "performance") -> str:
    """Return what was measured for a page: the goals, then the cases; nothing where nothing was."""
    scenarios = [scenario for scenario in SCENARIOS.values() if scenario.page == page]
    cases = [case for scenario in scenarios for case in scenario.cases if case.name in results.cases]
    if not cases:
        return ""
    here = results.only([case.name for case in cases])
    return "\n\n".join(filter(None, [about(here), goal_table(here), *(case_table(case, here) for case in cases)]))


def about(results: Results) -> str:
    """Return what the figures depend on, in one paragraph."""
    rounds = sorted({results.rounds(case) for case in results.cases})
    dates = sorted(set(results.dates.values()))
    facts = ", ".join(f"{name} {value}" for name, value in results.about.items() if name != "machine")
    return (
        f"Measured {_span(dates)} on {results.about['machine']} ({facts}). "
        f"Medians of {_span(rounds)} rounds, least and most in brackets.{_disturbed(results)}{_saturated(results)}"
    )


def _disturbed(results: Results) -> str:
    shares = results.all("others")
    disturbed = sum(share > DISTURBED for share in shares)
    return (
        f" During {disturbed} of {len(shares)} measurements others took more than {DISTURBED:.0%} of a core."
        if disturbed
        else ""
    )


def _saturated(results: Results) -> str:
    marked = any(_mark(results, case, server) for case, servers in results.cases.items() for server in servers)
    note = f" {MARK} The load client took more than {SATURATED:.0%} of its core: it may be what was measured."
    return note if marked else ""


def _mark(results: Results, case: str, server: str) -> str:
    stat = results.stat(Figure(case, server, "client"))
    return MARK if stat and stat.median > SATURATED else ""


def _span(values: Sequence[object]) -> str:
    return f"{values[0]}" if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


# Goals


def goal_table(results: Results) -> str:
    """Return the table of those goals whose cases were measured; nothing where there are none."""
    heads = ["", "", "Parlor", "must", "aim", ""]
    goals = [goal for goal in GOALS if goal.of.case in results.cases]
    if not goals:
        return ""
    rows = [_goal_row(goal, before, results) for before, goal in zip((None, *goals), goals, strict=False)]
    return table(heads, rows, left=2)


def _goal_row(goal: Goal, before: Goal | None, results: Results) -> list[str]:
    return [
        "" if before and before.row == goal.row else goal.row,
        goal.what,
        _reached(goal, results),
        _bound(goal, goal.must),
        _bound(goal, goal.aim),
        VERDICTS[goal.verdict(results)],
    ]


def _reached(goal: Goal, results: Results) -> str:
    value = goal.value(results)
    if value is None:
        return NOTHING
    mark = "".join(sorted({_mark(results, each.case, each.server) for each in (goal.of, goal.over) if each}))
    if goal.over:
        return f"**{number(value)}**{mark}"
    stat = results.stat(goal.of)
    assert stat
    return f"**{with_unit(number(value), goal.unit)}**{mark} {spread(stat)}"


def _bound(goal: Goal, bound: float | None) -> str:
    return f"{'≥' if goal.more else '≤'} {with_unit(f'{bound:,g}', goal.unit)}" if bound is not None else ""


def campfire_table(results: Results) -> str:
    """Return what Campfire's ports have published, and our figures beside it."""
    heads = ["", "Parlor, one of our two cores", "Campfire and its ports, four faster cores"]
    return table(heads, [[each.what, _ours(each, results), each.theirs] for each in CAMPFIRE], left=3)


def _ours(published: Published, results: Results) -> str:
    stat = results.stat(published.of)
    return with_unit(number(stat.median), published.unit) if stat else NOTHING


# Cases


def case_table(case: Case, results: Results) -> str:
    """Return a case's table: a row for each server, and how it compares by the first column."""
    key = case.columns[0]
    others = [name for name in ("limit", "guide", "parlor-1") if name in case.servers and len(case.servers) > 1]
    heads = [
        "",
        *(_head(column) for column in case.columns),
        *(f"{key.title} × {COMPETITORS[other].title}" for other in others),
    ]
    rows = [_case_row(case, server, others, results) for server in case.servers]
    return f"### {case.title}\n\n{table(heads, rows)}"


def _head(column: Column) -> str:
    return f"{column.title}, {column.unit}" if column.unit else column.title


def _case_row(case: Case, server: str, others: Iterable[str], results: Results) -> list[str]:
    figures = [Figure(case.name, server, column.name) for column in case.columns]
    ratios = [results.ratio(figures[0], Figure(case.name, other, case.columns[0].name)) for other in others]
    return [
        f"{COMPETITORS[server].title}{_mark(results, case.name, server)}",
        *(_cell(results.stat(figure)) for figure in figures),
        *(NOTHING if ratio is None else number(ratio) for ratio in ratios),
    ]


def _cell(stat: Stat | None) -> str:
    return f"{number(stat.median)} {spread(stat)}" if stat else NOTHING


# Both


def number(value: float) -> str:
    """Return `value` with three figures that count, or all before the point."""
    places = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{places}f}"


def spread(stat: Stat) -> str:
    """Return least and most."""
    return f"({number(stat.least)}–{number(stat.most)})"


def with_unit(text: str, unit: str) -> str:
    """Return `text` with its unit; what is per second follows at once."""
    return f"{text}{'' if unit.startswith('/') or not unit else ' '}{unit}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a table in Markdown, its columns as wide as they need to be; the first `left` hold words."""
    widths = [max(3, *(len(row[column]) for row in (heads, *rows))) for column in range(len(heads))]
    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join("| " + " | ".join(_aligned(row, widths, left)) + " |" for row in (heads, rule, *rows))


def _aligned(row: Sequence[str], widths: Sequence[int], left: int) -> list[str]:
    return [
        text.ljust(width) if column < left else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]


def between_markers(page: str, name: str, text: str) -> str:
    """Return `page` with `text` in the place of what stands between the markers `name`.

    Raises `ValueError` without them.
    """
    begin, end = BEGIN.format(name), END.format(name)
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"the page needs the lines {begin} and {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
