"""What operators see."""

import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import Metrics

BASE_UNITS = ("seconds", "bytes", "ratio")
OTHER_UNITS = ("milliseconds", "ms", "minutes", "hours", "kilobytes", "kb", "megabytes", "mb", "percent")


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Return all figures by name and, where they have one, label."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
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
    metrics.process.info({"process": "p1"})
    metrics.bus.delivered(lag=0.003)
    metrics.bus.delivered(lag=-0.001)
    metrics.bus.sent()
    metrics.bus.received(unreadable=0)
    metrics.bus.received(unreadable=2)
    metrics.bus.reconnected()
    metrics.bus.polled(found=True)
    metrics.bus.polled(found=True)
    metrics.bus.polled(found=False)
    metrics.bus.queue.set(0.25)
    metrics.bus.behind.set(7)
    return metrics


def test_events_are_counted(metrics: Metrics) -> None:
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
        ("parlor_process_info", "p1"): 1,
        ("parlor_commit_to_delivery_seconds_count", ""): 2,
        ("parlor_commit_to_delivery_seconds_sum", ""): 0.003,  # clocks that differ by a hair lag by nothing
        ("parlor_bus_notifications_sent_total", ""): 1,
        ("parlor_bus_notifications_received_total", ""): 2,
        ("parlor_bus_reconnects_total", ""): 1,
        ("parlor_bus_queue_usage", ""): 0.25,
        ("parlor_bus_positions_behind", ""): 7,
        ("parlor_looks_total", "something"): 2,
        ("parlor_looks_total", "nothing"): 1,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_metric_names_have_a_prefix_and_base_units(metrics: Metrics) -> None:
    for name, _ in samples(metrics):
        words = name.split("_")
        assert words[0] in ("parlor", "process", "python")  # ours, the system's, the collector's
        assert not set(words) & set(OTHER_UNITS)
        if "_time" in name or "duration" in name:
            assert set(words) & set(BASE_UNITS), name


def test_every_metric_has_a_help_text(metrics: Metrics) -> None:
    families = list(text_string_to_metric_families(metrics.text().decode()))
    assert families
    for family in families:
        assert family.documentation.endswith(".") or not family.name.startswith("parlor_"), family.name


def test_metrics_have_no_labels_for_members_or_addresses(metrics: Metrics) -> None:
    # Labels by member, room or address would grow without end, and say who is here.
    labels = {
        name
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        for name in sample.labels
    }
    assert labels == {"reason", "found", "process", "generation", "le"}


def test_a_local_bus_delivers_every_announcement() -> None:
    found = samples(Metrics())
    assert found["parlor_bus_connected", ""] == 1
    # There from the start: a rate needs a first figure.
    assert found["parlor_looks_total", "something"] == found["parlor_looks_total", "nothing"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the figures of a process are read from Linux's /proc")
def test_the_process_reports_its_memory_and_descriptors(metrics: Metrics) -> None:
    found = samples(metrics)
    assert found["process_resident_memory_bytes", ""] > 1_000_000
    assert found["process_cpu_seconds_total", ""] > 0
    assert found["process_max_fds", ""] >= found["process_open_fds", ""] > 0
    assert found["python_gc_collections_total", "2"] >= 0


def test_two_applications_count_apart(metrics: Metrics) -> None:
    assert samples(Metrics())["parlor_messages_total", ""] == 0
