"""What operators see: figures for Prometheus.

Every figure is in base units (seconds, bytes), as https://prometheus.io/docs/practices/naming/ asks.
No message body, name or cookie is ever counted.
"""

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

log = structlog.get_logger("parlor")

FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LAGS = (*FAST, 5.0, 10.0, 30.0)  # a notification that is lost costs seconds, a database that is gone more
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The figures of one application, and of the process that it has to itself."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.connections = Gauge("parlor_connections", "Open sockets.", registry=registry)
        self.rooms = Gauge("parlor_rooms", "Rooms that exist.", registry=registry)
        self.active_rooms = Gauge("parlor_rooms_active", "Rooms that somebody looks at.", registry=registry)
        self.waiting = Gauge("parlor_store_waiting", "Messages that wait to be stored.", registry=registry)
        self.tasks = Gauge("parlor_tasks", "Tasks of the event loop.", registry=registry)
        self.buckets = Gauge("parlor_buckets", "Members and addresses whose pace is remembered.", registry=registry)
        self._messages = Counter("parlor_messages", "Messages stored.", registry=registry)
        self._refused = Counter("parlor_refused", "What was refused, by reason.", ["reason"], registry=registry)
        self._cut = Counter("parlor_connections_cut", "Sockets cut off, by reason.", ["reason"], registry=registry)
        self._deliveries = Counter("parlor_frames_offered", "Frames offered to sockets.", registry=registry)
        self._fan_out = Histogram(
            "parlor_fan_out_seconds",
            "Time to render and offer one frame to a whole room.",
            buckets=FAST,
            registry=registry,
        )
        self._store_time = Histogram(
            "parlor_store_append_seconds",
            "Time to commit one batch of messages.",
            buckets=FAST,
            registry=registry,
        )
        self._batch = Histogram(
            "parlor_store_batch_messages", "Submissions committed together.", buckets=SIZES, registry=registry
        )
        self.process = Info("parlor_process", "The name of this process among all.", registry=registry)
        self.bus = BusMetrics(registry)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def message(self) -> None:
        """A message was stored."""
        self._messages.inc()

    def refused(self, reason: str, member: str | None = None) -> None:
        """Something was refused, to `member` (an id) if there is one; `reason` is one of a few words, never input."""
        self._refused.labels(reason).inc()
        log.info("refused", reason=reason, member=member)

    def cut(self, reason: str) -> None:
        """A socket was cut off."""
        self._cut.labels(reason).inc()

    def fan_out(self, seconds: float, recipients: int) -> None:
        """A frame was offered to a room."""
        self._fan_out.observe(seconds)
        self._deliveries.inc(recipients)

    def batch(self, size: int, seconds: float) -> None:
        """A batch of submissions was committed."""
        self._batch.observe(size)
        self._store_time.observe(seconds)

    def text(self) -> bytes:
        """Return all figures in Prometheus' format."""
        return generate_latest(self.registry)


class BusMetrics:
    """What several processes cost and owe each other; of a process that is alone, as it is from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connected = Gauge(
            "parlor_bus_connected", "1 while this process hears the others, else 0.", registry=registry
        )
        self.connected.set(1)  # a single process is always connected
        self.queue = Gauge(
            "parlor_bus_queue_usage", "How full the queue of notifications is, 0 to 1.", registry=registry
        )
        self.behind = Gauge(
            "parlor_bus_positions_behind", "Positions reached and not yet shown here.", registry=registry
        )
        self._sent = Counter("parlor_bus_notifications_sent", "Notifications sent.", registry=registry)
        self._received = Counter("parlor_bus_notifications_received", "Notifications received.", registry=registry)
        self._unreadable = Counter(
            "parlor_bus_notifications_unreadable",
            "Parts of notifications that no process of ours wrote.",
            registry=registry,
        )
        self._reconnects = Counter("parlor_bus_reconnects", "Times the bus has healed itself.", registry=registry)
        self._looks = Counter("parlor_looks", "Periodic looks for what is new.", ["found"], registry=registry)
        self._lag = Histogram(
            "parlor_commit_to_delivery_seconds",
            "Time from a commit, here or in another process, until it was offered to the browsers here.",
            buckets=LAGS,
            registry=registry,
        )
        for found in ("something", "nothing"):
            self._looks.labels(found)  # there from the start: a rate needs a figure to begin with

    def sent(self) -> None:
        """A notification was sent, with one position or several."""
        self._sent.inc()

    def received(self, unreadable: int) -> None:
        """A notification was received, with one position or several, and so many parts that say nothing."""
        self._received.inc()
        self._unreadable.inc(unreadable)

    def reconnected(self) -> None:
        """The bus lost its connection, and has one again."""
        self._reconnects.inc()

    def polled(self, found: bool) -> None:
        """A periodic look found something that no notification had told of, or nothing."""
        self._looks.labels("something" if found else "nothing").inc()

    def delivered(self, lag: float) -> None:
        """A message was offered to the browsers here, `lag` seconds after its commit."""
        self._lag.observe(max(lag, 0))  # two clocks may differ by more than it took
