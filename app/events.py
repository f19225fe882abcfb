"""How the log of events looks: one line each, and what others can provoke seldom.

No message body, name or cookie is ever logged.
"""

import logging
import sys
from collections import defaultdict
from time import monotonic

import structlog

from app.limits import Buckets

LOGGED_PER_SECOND, LOGGED_AT_ONCE = 0.1, 20  # lines that say the same
MOST_LINES = 1000  # that are told apart, before those are forgotten that are rare

# What uvicorn takes for our errors, and is a client's doing.
CLIENTS_DOING = frozenset(
    {
        "Invalid UTF-8 sequence received from client.",  # with a traceback; we count it by the code that it closes with
        "ASGI callable returned without completing handshake.",  # the client had gone before we could accept it
    }
)


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
