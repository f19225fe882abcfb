"""What operators see: counters for Prometheus, and how the log looks.

Every figure is in base units (seconds, bytes), as https://prometheus.io/docs/practices/naming/ asks.
No message body, name or cookie is ever counted or logged.
"""

import logging
import sys
from collections import defaultdict
from time import monotonic

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from app.limits import Buckets

log = structlog.get_logger("parlor")

LOGGED_PER_SECOND, LOGGED_AT_ONCE = 0.1, 20  # lines that say the same
MOST_LINES = 1000  # that are told apart, before those are forgotten that are rare
FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The figures of one application."""

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


# What uvicorn takes for our errors, and is a client's doing.
CLIENTS_DOING = frozenset(
    {
        "Invalid UTF-8 sequence received from client.",  # with a traceback; we count it by the code that it closes with
        "ASGI callable returned without completing handshake.",  # the client had gone before we could accept it
    }
)


class Seldom(logging.Filter):
    """Lets lines that say the same pass a few times, and then seldom: what others can provoke fills no disk."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = Buckets(LOGGED_PER_SECOND, LOGGED_AT_ONCE)
        self._withheld: dict[str, int] = defaultdict(int)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line may pass; our own then say how many like it did not."""
        ours = record.msg if isinstance(record.msg, dict) else {}
        if not ours and record.msg in CLIENTS_DOING:
            return False
        same = (ours.get("event"), ours.get("reason"), ours.get("error")) if ours else record.msg
        line = f"{record.name} {record.levelname} {same}"
        if len(self._lines) > MOST_LINES:
            self._lines.sweep(monotonic())
        if self._lines.take(line, monotonic()):
            self._withheld[line] += 1
            return False
        if withheld := self._withheld.pop(line, 0):
            ours["withheld"] = withheld
        return True


def set_up_logging(level: str, style: str) -> None:
    """One line per event on standard error: `style` "text" for people, "json" for machines."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"], drop_missing=True)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel("WARNING")
    logging.getLogger("parlor").setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
