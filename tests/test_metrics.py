"""What operators see."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import CLIENTS_DOING, LOGGED_AT_ONCE, Metrics, set_up_logging

BASE_UNITS = ("seconds", "bytes", "ratio")
OTHER_UNITS = ("milliseconds", "ms", "minutes", "hours", "kilobytes", "kb", "megabytes", "mb", "percent")


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Return all figures by name and, where they have one, reason."""
    return {
        (sample.name, sample.labels.get("reason", "")): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if "le" not in sample.labels
    }


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.message()
    metrics.refused("blank")
    metrics.refused("blank")
    metrics.refused("not-json")
    metrics.cut("outbox")
    metrics.fan_out(0.002, recipients=30)
    metrics.batch(16, seconds=0.004)
    metrics.connections.set(30)
    return metrics


def test_what_happened_is_counted(metrics: Metrics) -> None:
    found = samples(metrics)
    expected = {
        ("parlor_messages_total", ""): 1,
        ("parlor_refused_total", "blank"): 2,
        ("parlor_refused_total", "not-json"): 1,
        ("parlor_connections_cut_total", "outbox"): 1,
        ("parlor_frames_offered_total", ""): 30,
        ("parlor_fan_out_seconds_count", ""): 1,
        ("parlor_fan_out_seconds_sum", ""): 0.002,
        ("parlor_store_append_seconds_sum", ""): 0.004,
        ("parlor_store_batch_messages_sum", ""): 16,
        ("parlor_connections", ""): 30,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_names_say_whose_they_are_and_use_base_units(metrics: Metrics) -> None:
    for name, _ in samples(metrics):
        words = name.split("_")
        assert words[0] == "parlor"
        assert not set(words) & set(OTHER_UNITS)
        if "_time" in name or "duration" in name:
            assert set(words) & set(BASE_UNITS), name


def test_every_figure_says_what_it_is(metrics: Metrics) -> None:
    families = list(text_string_to_metric_families(metrics.text().decode()))
    assert families
    for family in families:
        assert family.documentation.endswith("."), family.name


def test_nothing_is_told_apart_but_by_reason(metrics: Metrics) -> None:
    # Labels by member, room or address would grow without end, and say who is here.
    labels = {
        name
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        for name in sample.labels
    }
    assert labels == {"reason", "le"}


def test_two_applications_count_apart(metrics: Metrics) -> None:
    assert samples(Metrics())["parlor_messages_total", ""] == 0


# The log


@pytest.fixture(autouse=True)
def _quiet_again() -> Iterator[None]:
    """What is set up here is for here alone."""
    root, parlor = logging.getLogger(), logging.getLogger("parlor")
    handlers, levels = list(root.handlers), (root.level, parlor.level)
    yield
    root.handlers = handlers
    root.setLevel(levels[0])
    parlor.setLevel(levels[1])
    structlog.reset_defaults()


def logged(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def fail() -> None:
    raise ValueError("two\nlines")


@pytest.mark.parametrize("style", ["text", "json"])
def test_an_event_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str], style: str) -> None:
    set_up_logging("info", style)
    log = structlog.get_logger("parlor.test")
    log.info("joined", room="lobby", error="first\nsecond\r\nthird\u2028fourth")
    try:
        fail()
    except ValueError:
        log.exception("failed", path="/")
        logging.getLogger("uvicorn.error").exception("from elsewhere")
    lines = logged(capsys)
    assert len(lines) == 3
    assert ["joined" in lines[0], "failed" in lines[1], "from elsewhere" in lines[2]] == [True] * 3
    assert all("ValueError" in line for line in lines[1:])


def test_for_machines_a_line_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    structlog.get_logger("parlor.test").warning("cut off", reason="outbox")
    (line,) = logged(capsys)
    event = json.loads(line)
    assert {
        "event": "cut off",
        "level": "warning",
        "logger": "parlor.test",
        "reason": "outbox",
    }.items() <= event.items()
    assert event["timestamp"].endswith("Z")


def test_for_people_a_line_begins_with_when_how_bad_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "text")
    structlog.get_logger("parlor.test").warning("cut off", reason="outbox")
    (line,) = logged(capsys)
    words = [part.split("=")[0] for part in line.split(" ")]
    assert words[:3] == ["timestamp", "level", "event"]
    assert "reason='outbox'" in line


@pytest.mark.parametrize(("level", "events"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_decides_what_is_logged(capsys: pytest.CaptureFixture[str], level: str, events: int) -> None:
    set_up_logging(level, "text")
    log = structlog.get_logger(f"parlor.test.{level}")
    log.debug("left")
    log.info("joined")
    log.warning("cut off")
    log.error("failed")
    assert len(logged(capsys)) == events


def test_the_chatter_of_libraries_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("debug", "text")
    logging.getLogger("asyncio").debug("chatter")
    logging.getLogger("alembic").info("chatter")
    logging.getLogger("uvicorn.error").warning("worth it")
    (line,) = logged(capsys)
    assert "worth it" in line


def test_setting_up_twice_logs_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "text")
    set_up_logging("info", "text")
    structlog.get_logger("parlor.test").info("start")
    assert len(logged(capsys)) == 1


def test_what_others_can_provoke_is_seldom_worth_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("app.metrics.monotonic", lambda: now)
    set_up_logging("info", "json")
    metrics = Metrics()
    for _ in range(1000):
        metrics.refused("foreign-origin")
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        for line in CLIENTS_DOING:
            logging.getLogger("uvicorn.error").error(line)
    metrics.refused("foreign-host")
    now = 60.0
    metrics.refused("foreign-origin")
    events = [json.loads(line) for line in logged(capsys)]
    assert len(events) == LOGGED_AT_ONCE * 2 + 2
    assert [event["reason"] for event in events[-2:]] == ["foreign-host", "foreign-origin"]
    assert events[-1]["withheld"] == 1000 - LOGGED_AT_ONCE
    assert samples(metrics)["parlor_refused_total", "foreign-origin"] == 1001
