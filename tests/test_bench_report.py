"""The benchmark's figures: what becomes of what was measured. Nothing is measured here."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.client import Failed, arguments
from bench.goals import CAMPFIRE, GOALS, Goal, Published
from bench.machine import Effort, busy_seconds, cpu_of_family, is_in_memory
from bench.measures import Sustained, highest
from bench.pages import Answer, request
from bench.parlor import FRAME_BYTES, PLACE, fragment, text_length
from bench.report import BEGIN, END, between_markers, campfire_table, case_table, goal_table, number, report, table
from bench.results import Figure, Results, Stat, read, stat
from bench.scenarios import PAGES, SCENARIOS, Case, Column
from bench.servers import COMPETITORS, Competitor
from bench.sizes import FULL, QUICK, Sizes

ABOUT = {"machine": "abacus, 2 cores", "Python": "3.11"}
CASES = {case.name: case for scenario in SCENARIOS.values() for case in scenario.cases}
MOUNTS = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/disk ext4 rw 0 0\n"

# What is to be reached, in the order in which it was set.
ROWS = [
    "One message to 1,000",
    "The same, compression offered",
    "One message to 4,000",
    "One message to 4,000, compression offered",
    "1,000 messages to 1,000, one after the other",
    "Sustained to 1,000, p99 under 100 ms",
    "Stored, 32 senders that await receipts",
    "An idle connection",
    "An idle connection, compression offered",
    "4,000 connections accepted and resumed",
    "4,000 connections accepted and resumed, compression offered",
    "One of 1,000 stops reading",
    "50 of 1,000 stop reading, 100 messages/s",
    "A room's page of 50 messages",
    "A page open for 20,000 messages",
    "A delivery in 1,000 rooms of 5",
    "One message to 10,000",
]


def measured(**figures: list[float]) -> Results:
    """Return results in which each competitor has these medians of the case `broadcast`, in milliseconds."""
    results = Results(dict(ABOUT))
    results.begin("broadcast", "2026-11-24")
    for server, values in figures.items():
        for value in values:
            results.add("broadcast", server, {"median": value})
    return results


# Figures


def test_the_median_of_the_rounds_counts_and_the_spread_is_kept() -> None:
    assert stat([3.0, 1.0, 9.0]) == Stat(median=3.0, least=1.0, most=9.0)


def test_a_ratio_is_one_of_medians() -> None:
    results = measured(parlor=[2.0, 3.0, 100.0], limit=[1.0, 2.0, 2.0])
    assert results.ratio(Figure("broadcast", "parlor", "median"), Figure("broadcast", "limit", "median")) == 1.5


@pytest.mark.parametrize("missing", [Figure("tail", "parlor", "median"), Figure("broadcast", "ws", "median")])
def test_there_is_no_ratio_without_both_figures(missing: Figure) -> None:
    results = measured(parlor=[2.0])
    assert results.stat(missing) is None
    assert results.ratio(Figure("broadcast", "parlor", "median"), missing) is None


def test_a_case_that_is_measured_anew_keeps_nothing_of_before() -> None:
    results = measured(parlor=[2.0], ws=[3.0])
    results.begin("broadcast", "2026-11-25")
    results.add("broadcast", "parlor", {"median": 1.0})
    assert results.cases["broadcast"] == {"parlor": {"median": [1.0]}}


def test_unless_rounds_are_to_be_added() -> None:
    results = measured(parlor=[2.0])
    for case in ("broadcast", "tail"):
        results.begin(case, "2026-11-25", add=True)
        results.add(case, "parlor", {"median": 1.0})
    assert results.cases == {"broadcast": {"parlor": {"median": [2.0, 1.0]}}, "tail": {"parlor": {"median": [1.0]}}}


def test_results_are_read_as_they_were_saved(tmp_path: Path) -> None:
    results = measured(parlor=[2.0, 3.5], limit=[1.0])
    results.save(tmp_path / "results.json")
    assert read(tmp_path / "results.json", dict(ABOUT)) == results


def test_figures_of_another_machine_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    measured(parlor=[2.0]).save(tmp_path / "results.json")
    elsewhere = {**ABOUT, "machine": "another"}
    assert read(tmp_path / "results.json", elsewhere) == Results(elsewhere)


# Goals


def test_every_row_that_is_to_be_reached_is_measured() -> None:
    assert list(dict.fromkeys(goal.row for goal in GOALS)) == ROWS


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"{goal.row}: {goal.what}")
def test_every_goal_is_a_figure_of_a_case(goal: Goal) -> None:
    for figure in filter(None, (goal.of, goal.over)):
        assert_is_measured(figure)


@pytest.mark.parametrize("published", CAMPFIRE, ids=lambda published: published.what)
def test_published_figures_are_linked_to_a_case(published: Published) -> None:
    assert_is_measured(published.of)


def assert_is_measured(figure: Figure) -> None:
    case = CASES[figure.case]
    assert figure.server in case.servers
    assert figure.name in [column.name for column in case.columns]


def test_every_case_is_of_servers_that_there_are() -> None:
    assert {server for case in CASES.values() for server in case.servers} <= set(COMPETITORS)


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.0, "aim"), (1.4, "aim"), (1.5, "must"), (1.6, "must"), (1.7, "missed")]
)
def test_less_is_better(value: float, verdict: str) -> None:
    goal = Goal("", "", Figure("broadcast", "parlor", "median"), must=1.6, aim=1.4)
    assert goal.verdict(measured(parlor=[value])) == verdict


@pytest.mark.parametrize(("value", "verdict"), [(9.0, "aim"), (8.0, "aim"), (7.0, "must"), (5.0, "missed")])
def test_or_more_is_better(value: float, verdict: str) -> None:
    goal = Goal("", "", Figure("broadcast", "parlor", "median"), must=6, aim=8, more=True)
    assert goal.verdict(measured(parlor=[value])) == verdict


def test_goals_with_only_an_aim_cannot_fail() -> None:
    goal = Goal("", "", Figure("broadcast", "parlor", "median"), aim=1)
    assert goal.verdict(measured(parlor=[2.0])) == "must"
    assert goal.verdict(measured(ws=[2.0])) == ""


# Tables


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.00"), (1.624, "1.62"), (12.34, "12.3"), (123.4, "123"), (3346000.4, "3,346,000"), (999.9, "1,000")],
)
def test_numbers_have_three_figures_that_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_table_is_aligned() -> None:
    assert table(["", "ms"], [["C server", "2.50"], ["Parlor", "3"]]).splitlines() == [
        "|          |   ms |",
        "| -------- | ---: |",
        "| C server | 2.50 |",
        "| Parlor   |    3 |",
    ]


def test_a_case_is_compared_with_the_limit_and_the_plain_loop() -> None:
    case = Case(
        "broadcast", "One", ("limit", "guide", "ws", "parlor"), (Column("median", "last", "ms"),), lambda *_: {}
    )
    lines = case_table(case, measured(limit=[2.0], guide=[5.0], parlor=[2.0, 3.0, 4.0])).splitlines()
    assert lines[0] == "### One"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert cells[0] == ["", "last, ms", "last × C server", "last × FastAPI, plain loop"]
    assert cells[2:] == [
        ["C server", "2.00 (2.00–2.00)", "1.00", "0.40"],
        ["FastAPI, plain loop", "5.00 (5.00–5.00)", "2.50", "1.00"],
        ["Node's ws", "–", "–", "–"],
        ["Parlor", "3.00 (2.00–4.00)", "1.50", "0.60"],
    ]


def test_goals_are_shown_with_their_figures() -> None:
    rows = [line.split("|") for line in goal_table(measured(parlor=[2.9], limit=[2.0], ws=[4.0])).splitlines()]
    cells = [[cell.strip() for cell in row[1:-1]] for row in rows]
    assert cells[2] == ["One message to 1,000", "× the C server", "**1.45**", "≤ 1.6", "≤ 1.4", "must"]
    assert cells[3] == ["", "× Node's ws", "**0.72**", "", "≤ 0.9", "**aim**"]


def test_a_figure_with_a_unit_is_shown_with_its_spread() -> None:
    results = measured()
    results.begin("stored", "2026-11-24")
    for rate in (6000.0, 7000.0, 6500.0):
        results.add("stored", "parlor", {"rate": rate})
    row = next(line for line in goal_table(results).splitlines() if "Stored" in line)
    assert "**6,500/s** (6,000–7,000)" in row
    assert "≥ 5,000/s" in row


def test_the_report_says_where_and_how_often_it_was_measured() -> None:
    text = report(measured(parlor=[2.0, 3.0], limit=[1.0, 1.0]))
    assert text.startswith(
        "Measured 2026-11-24 on abacus, 2 cores (Python 3.11). Medians of 2 rounds, least and most in brackets.\n"
    )
    assert "### One message to 1,000\n" in text
    assert "4,000 idle connections" not in text


def test_each_page_shows_its_own_measurements() -> None:
    results = measured(parlor=[2.0])
    results.begin("shared-stored", "2026-11-25")
    for server, rate in (("parlor-1", 2000.0), ("parlor-2", 3000.0)):
        results.add("shared-stored", server, {"rate": rate})
    text = report(results, "scaling")
    assert text.startswith("Measured 2026-11-25 on")
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if "| 2 processes" in line]
    assert rows[0][1:3] == ["2 processes", "3,000 (3,000–3,000)"]
    assert rows[0][-2] == "1.50"  # times what one gives
    assert "One message" not in text
    assert "processes" not in report(results)
    assert not report(measured(), "scaling")


def test_the_report_marks_disturbed_measurements() -> None:
    results = measured(parlor=[2.0, 3.0])
    results.add("broadcast", "limit", {"median": 1.0, "others": 0.02})
    assert "others" not in report(results)
    results.add("broadcast", "limit", {"median": 1.0, "others": 0.5})
    assert "During 1 of 2 measurements others took more than 10% of a core." in report(results)


def test_figures_that_may_be_the_loads_are_marked() -> None:
    results = measured(parlor=[2.0, 3.0], limit=[1.0, 1.0])
    for share in (0.95, 0.99):
        results.add("broadcast", "limit", {"client": share})
        results.add("broadcast", "parlor", {"client": 0.9})
    text = report(results)
    assert "† The load client took more than 90% of its core: it may be what was measured." in text
    assert "| C server†" in text
    assert "| Parlor  " in text
    assert "**2.50**†" in goal_table(results)  # a ratio over it


def test_an_idle_load_is_not_marked() -> None:
    results = measured(parlor=[2.0])
    results.add("broadcast", "parlor", {"client": 0.5})
    assert "†" not in report(results)


def test_goals_without_a_measurement_are_left_out() -> None:
    assert "One message to 1,000" in goal_table(measured(parlor=[2.0]))
    assert "10,000" not in goal_table(measured(parlor=[2.0]))


def test_only_the_text_between_markers_is_replaced() -> None:
    begin, end = BEGIN.format("Here"), END.format("Here")
    page = f"# Title\n\n{begin}\nold\n{end}\n\nmore\n"
    once = between_markers(page, "Here", "new")
    assert once == f"# Title\n\n{begin}\n\nnew\n\n{end}\n\nmore\n"
    assert between_markers(once, "Here", "new") == once


@pytest.mark.parametrize("page", ["", "{begin}", "{end}", "{end} {begin}"])
@pytest.mark.parametrize("name", ["Here", "There"])
def test_a_page_without_both_markers_is_left_alone(page: str, name: str) -> None:
    page = page.format(begin=BEGIN.format("Here"), end=END.format("Here"))
    with pytest.raises(ValueError, match="needs the lines"):
        between_markers(page, name, "new")


@pytest.mark.parametrize(("page", "name"), [*((page, "Figures") for page in PAGES), ("performance", "Campfire")])
def test_the_pages_have_the_markers(page: str, name: str) -> None:
    text = (Path(__file__).parent.parent / "docs" / f"{page}.md").read_text()
    assert between_markers(text, name, "new")


def test_published_figures_stand_beside_ours() -> None:
    results = measured()
    results.begin("most", "2026-11-24")
    results.add("most", "parlor", {"median": 71.23})
    rows = [[cell.strip() for cell in line.split("|")] for line in campfire_table(results).splitlines()]
    assert rows[2][1:4] == ["One message to 10,000", "71.2 ms", "Rust 40 ms, Rails 3,635 ms"]
    assert rows[3][2] == "–"


# Measuring


@pytest.mark.parametrize("before", [None, 1, 2, 3, 5, 8])
@pytest.mark.parametrize(("most", "best"), [(0, 0), (1, 1), (4, 3), (5, 5), (99, 8)])
def test_the_highest_rate_that_holds_is_found_from_anywhere(before: int | None, most: int, best: int) -> None:
    assert highest(lambda rate: rate <= most, [1, 2, 3, 5, 8], before) == best


@pytest.mark.parametrize(
    ("before", "most", "tries"),
    [
        (3, 3, [3, 5]),  # as before
        (3, 2, [3, 2]),  # one step down
        (3, 5, [3, 5, 8]),  # one step up
        (8, 8, [8]),
        (None, 8, [3, 8]),
        (None, 0, [3, 2, 1]),
    ],
)
def test_the_highest_rate_is_found_in_few_tries(before: int | None, most: int, tries: list[int]) -> None:
    tried: list[int] = []

    def holds(rate: int) -> bool:
        tried.append(rate)
        return rate <= most

    highest(holds, [1, 2, 3, 5, 8], before)
    assert tried == tries


@pytest.mark.parametrize("most", FULL.ladder)
def test_the_first_time_it_takes_no_more_tries_than_halving_does(most: int) -> None:
    tried: list[int] = []

    def holds(rate: int) -> bool:
        tried.append(rate)
        return rate <= most

    assert highest(holds, FULL.ladder) == most
    assert len(tried) <= 5


SHARES = {50: 0.95, 200: 0.1, 1000: 0.2, 4000: 0.3}  # of its core that the load takes, at each rate


@pytest.fixture
def rate_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], dict[str, float]]:
    """Measure a server that holds up to so many messages per second."""

    def measure(most: int) -> dict[str, float]:
        def at_rate(competitor: Competitor, sizes: Sizes, rate: int) -> dict[str, float]:
            if rate > most:
                raise Failed("late", {"client_share": SHARES[rate]})
            return {"rate": rate, "p99": 1.0, "client": SHARES[rate]}

        monkeypatch.setattr("bench.measures.at_rate", at_rate)
        return Sustained()(COMPETITORS["parlor"], QUICK)

    return measure


@pytest.mark.parametrize(("most", "client"), [(50, 0.95), (200, 0.2), (1000, 0.3), (4000, 0.3)])
def test_the_load_share_counts_where_it_may_be_the_limit(
    rate_of: Callable[[int], dict[str, float]], most: int, client: float
) -> None:
    assert rate_of(most) == {"rate": most, "p99": 1.0, "client": client}


def test_a_rate_that_never_holds_is_explained(rate_of: Callable[[int], dict[str, float]]) -> None:
    with pytest.raises(Failed, match="late"):
        rate_of(0)


def test_options_are_written_as_the_load_client_takes_them() -> None:
    options = {"readers_per_room": 5, "deflate": True, "pause": 0, "other": False, "pid": (7, 8)}
    assert arguments(options) == ["--readers-per-room", "5", "--deflate", "--pause", "0", "--pid", "7", "--pid", "8"]


def test_all_servers_send_fragments_of_one_size() -> None:
    frame = fragment()
    assert frame.count(PLACE) == 1
    assert len(frame.replace(PLACE, "x" * text_length(frame))) == FRAME_BYTES


@pytest.mark.parametrize(("folder", "expected"), [("/home", False), ("/tmp/x", True), ("/tmp/disk/x", False)])  # noqa: S108
def test_a_database_in_memory_is_noticed(folder: str, expected: bool) -> None:
    assert is_in_memory(Path(folder), MOUNTS) is expected


def test_disturbance_is_all_cpu_time_but_ours() -> None:
    before = Effort(at=100.0, everybody=50.0, ours=10.0)
    assert Effort(at=110.0, everybody=65.0, ours=22.0).others_since(before) == pytest.approx(0.3)
    assert Effort(at=110.0, everybody=61.0, ours=22.0).others_since(before) == 0.0


def test_a_core_is_busy_unless_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    assert busy_seconds("cpu  100 200 300 9999 9999 10 20 70 0 0\ncpu0 1 1 1 1 1 1 1 1\n") == 7.0


def test_cpu_time_includes_children_that_have_ended(tmp_path: Path) -> None:
    files = {
        7: "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 100 20 3 4 20 0",
        8: "8 (child) R 7 8 8 0 -1 0 0 0 0 0 50 5 900 900 20 0",
        9: "9 (stranger) R 1 9 9 0 -1 0 0 0 0 0 50 5 0 0 20 0",
    }
    for pid, text in files.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(text)
    ticks = (100 + 20 + 3 + 4) + (50 + 5)
    assert cpu_of_family(7, tmp_path) == ticks / os.sysconf("SC_CLK_TCK")


def test_a_request_is_one_that_servers_understand() -> None:
    assert request(8000, "/", if_none_match='"x"') == (
        b'GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nif-none-match: "x"\r\n\r\n'
    )


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_answer_is_read_in_any_pieces(size: int) -> None:
    whole = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 4\r\n\r\nb\r\n!'
    answer = Answer()
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert [answer.take(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert (answer.status, answer.header("etag"), answer.body) == (200, '"x"', "b\r\n!")


def test_an_answer_without_a_body_ends_with_its_head() -> None:
    answer = Answer()
    assert answer.take(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    assert (answer.status, answer.header("etag"), answer.body) == (304, "", "")
