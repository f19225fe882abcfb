"""How the log of events looks."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.log import CLIENTS_DOING, LOGGED_AT_ONCE, set_up_logging
from app.metrics import Metrics


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
def test_any_event_is_one_line(capsys: pytest.CaptureFixture[str], style: str) -> None:
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
def test_the_level_filters_the_log(capsys: pytest.CaptureFixture[str], level: str, events: int) -> None:
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


def test_provoked_warnings_are_logged_rarely(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("app.log.monotonic", lambda: now)
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
    assert metrics.registry.get_sample_value("parlor_refused_total", {"reason": "foreign-origin"}) == 1001
