"""The dashboard, the alerts and the scrape in deploy/: they ask for figures that are there, as what these are.

What needs Prometheus' own promtool is tried where that is installed.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from app.metrics import Metrics

ROOT = Path(__file__).parent.parent
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
SCRAPE = ROOT / "deploy" / "prometheus" / "prometheus.yaml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "parlor.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

FIGURE = re.compile(r"\b(?:parlor|process|python)_\w+|\bup\b")
SUFFIXES = {
    "counter": ["_total"],
    "histogram": ["_bucket", "_sum", "_count"],
    "gauge": [""],
    "info": ["_info"],
}
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Prometheus) is not installed")


def families() -> Iterator[Metric]:
    """All figures that a process has."""
    return iter(Metrics().registry.collect())


def figures() -> dict[str, str]:
    """Return by name in a query what kind each figure is; `up` is Prometheus' own."""
    found = {family.name + suffix: family.type for family in families() for suffix in SUFFIXES[family.type]}
    return found | {"up": "gauge"}


def queries() -> dict[str, str]:
    """Return all queries, by where they stand."""
    shown = {f"{panel['title']} {each['refId']}": each["expr"] for panel in PANELS for each in panel["targets"]}
    return {**{rule["alert"]: rule["expr"] for rule in RULES}, **shown}


@pytest.mark.parametrize("query", queries().values(), ids=queries())
def test_dashboard_queries_use_existing_metrics_by_their_type(query: str) -> None:
    named = [found[0] for found in FIGURE.finditer(re.sub(r"\{[^}]*\}|by \([^)]*\)|group_left \(\w+\)", "", query))]
    assert named
    for name in named:
        kind = figures()[name]
        grows = f"{name}{{" in "".join(re.findall(r"(?:rate|increase)\((\S+\{)", query))
        assert grows == (kind in ("counter", "histogram")), name
        assert (kind == "histogram" and name.endswith("_bucket")) <= query.count("histogram_quantile"), name


def test_a_query_tells_apart_by_labels_that_there_are() -> None:
    ours = {"reason", "found", "process", "generation", "le"}  # tests/test_metrics.py holds these to be all
    for query in queries().values():
        chosen = re.findall(r"[{,] ?(\w+)=", query)
        grouped = re.findall(r"(?:by|on|group_left) \(([^)]*)\)", query)
        assert set(chosen) | {label for each in grouped for label in each.split(", ")} <= ours | {"job", "instance"}


def test_the_dashboard_shows_every_figure_of_ours() -> None:
    shown = set(FIGURE.findall(" ".join(query for name, query in queries().items() if " " in name)))
    ours = [family for family in families() if family.name.startswith("parlor_")]
    missing = [each.name for each in ours if not {each.name + suffix for suffix in SUFFIXES[each.type]} & shown]
    assert missing == []


def test_dashboard_panels_do_not_overlap_and_have_titles() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    for one, other in combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert {each["datasource"]["uid"] for each in panel["targets"]} == {"${datasource}"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_summary_an_action_and_a_link(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "reason", "action", "section"}
    path, _, anchor = rule["annotations"]["section"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()


def test_the_scrape_is_the_one_that_all_ask_for() -> None:
    (job,) = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    for query in queries().values():
        assert set(re.findall(r'job="(\w+)"', query)) == {job["job_name"]}


# With Prometheus' own tool


def promtool(*arguments: object) -> None:
    ended = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@needs_promtool
def test_prometheus_takes_alerts_and_scrape() -> None:
    promtool("check", "rules", ALERTS)
    promtool("check", "config", "--syntax-only", SCRAPE)


@needs_promtool
def test_prometheus_understands_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query_{number}", "expr": query.replace("$__rate_interval", "1m").replace("$instance", ".*")}
        for number, query in enumerate(queries().values())
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yaml")


BUCKETS = ("0.05", "1", "2.5", "+Inf")
# By alert, what has to set it off: series, and their values minute by minute. What grows in them grows per minute.
TROUBLES: dict[str, dict[str, str]] = {
    "ParlorDown": {"up": "1 0x20"},
    "ParlorDeaf": {"parlor_bus_connected": "1 0x20"},
    "ParlorCannotStore": {'parlor_refused_total{reason="unavailable"}': "0+60x20"},
    "ParlorBehind": {"parlor_bus_positions_behind": "0 3x20"},
    "ParlorDeliversLate": {f'parlor_commit_to_delivery_seconds_bucket{{le="{le}"}}': "0+90x20" for le in BUCKETS[:2]}
    | {f'parlor_commit_to_delivery_seconds_bucket{{le="{le}"}}': "0+100x20" for le in BUCKETS[2:]},
    "ParlorNotificationsLost": {
        'parlor_looks_total{found="something"}': "0+10x40",
        'parlor_looks_total{found="nothing"}': "0+20x40",
    },
    "ParlorNotificationQueue": {"parlor_bus_queue_usage": "0.2x20"},
    "ParlorCommitsSlowly": {f'parlor_store_append_seconds_bucket{{le="{le}"}}': "0+90x20" for le in BUCKETS[:1]}
    | {f'parlor_store_append_seconds_bucket{{le="{le}"}}': "0+100x20" for le in BUCKETS[1:]},
    "ParlorMessagesWait": {"parlor_store_waiting": "2000x20"},
    "ParlorFansOutSlowly": {f'parlor_fan_out_seconds_bucket{{le="{le}"}}': "0+90x20" for le in BUCKETS[:1]}
    | {f'parlor_fan_out_seconds_bucket{{le="{le}"}}': "0+100x20" for le in BUCKETS[1:]},
    "ParlorBusy": {"process_cpu_seconds_total": "0+54x20"},
    "ParlorFilesRunOut": {"process_open_fds": "900x20", "process_max_fds": "1000x20"},
    "ParlorCutsOff": {'parlor_connections_cut_total{reason="outbox"}': "0+5x30", "parlor_connections": "100x30"},
    "ParlorRefusesPages": {'parlor_refused_total{reason="foreign-host"}': "0+120x30"},
}
# What each sees while all is well, or in passing.
CALM = {
    "up": "1x40",
    "parlor_bus_connected": "1x10 0 1x29",
    'parlor_refused_total{reason="unavailable"}': "3x40",
    'parlor_refused_total{reason="foreign-host"}': "0+6x40",
    "parlor_bus_positions_behind": "0 5 0 5 0 5 0 5 0 5 0x30",
    **{f'parlor_commit_to_delivery_seconds_bucket{{le="{le}"}}': "0+1000x40" for le in BUCKETS},
    **{f'parlor_store_append_seconds_bucket{{le="{le}"}}': "0+1000x40" for le in BUCKETS},
    **{f'parlor_fan_out_seconds_bucket{{le="{le}"}}': "0+1000x40" for le in BUCKETS},
    'parlor_looks_total{found="something"}': "0+1x40",
    'parlor_looks_total{found="nothing"}': "0+29x40",
    "parlor_bus_queue_usage": "0.001x40",
    "parlor_store_waiting": "30x40",
    "process_cpu_seconds_total": "0+30x40",
    "process_open_fds": "500x40",
    "process_max_fds": "1000x40",
    'parlor_connections_cut_total{reason="outbox"}': "0+0x20 1x20",
    "parlor_connections": "500x40",
}


def series(values: dict[str, str]) -> list[dict[str, str]]:
    """Return `values` as promtool wants them, with the labels that a scrape adds."""
    scraped = 'job="parlor", instance="a"'
    return [
        {
            "series": f"{name}, {scraped}}}" if (name := key.rstrip("}")) != key else f"{key}{{{scraped}}}",
            "values": value,
        }
        for key, value in values.items()
    ]


def firing(folder: Path, values: dict[str, str], minute: int) -> set[str]:
    """Return the names of the alerts that `values` have set off at `minute`."""
    case = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "1m",
                "input_series": series(values),
                "alert_rule_test": [
                    {"eval_time": f"{minute}m", "alertname": rule["alert"], "exp_alerts": []} for rule in RULES
                ],
            }
        ],
    }
    (folder / "case.yaml").write_text(yaml.safe_dump(case))
    ended = subprocess.run(
        ["promtool", "test", "rules", folder / "case.yaml"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0 or "alertname" in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    return set(re.findall(r"alertname: (\w+)", ended.stdout + ended.stderr))


@needs_promtool
@pytest.mark.parametrize("name", [rule["alert"] for rule in RULES])
def test_an_alert_is_set_off_by_its_trouble(tmp_path: Path, name: str) -> None:
    assert firing(tmp_path, TROUBLES[name], minute=20) == {name}


@needs_promtool
def test_healthy_and_passing_states_raise_no_alert(tmp_path: Path) -> None:
    assert [firing(tmp_path, CALM, minute) for minute in (5, 11, 20, 25, 40)] == [set()] * 5
