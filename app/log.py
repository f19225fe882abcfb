"""How the log of events looks: one line each, and what others can provoke seldom.

No message body, name or cookie is ever logged.
"""

import logging
import sys
from collections import defaultdict
from time import monotonic

import structlog

from app.chat.limits import Buckets

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
    seldom = Seldom()
    handler.addFilter(seldom)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel("WARNING")
    logging.getLogger("parlor").setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            seldom,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class Seldom(logging.Filter):
    """Lets lines that say the same pass a few times, and then seldom: what others can provoke fills no disk.

    It is the first processor of our own events, so that one which is dropped costs next to nothing; and the filter of
    what libraries log.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines = Buckets(LOGGED_PER_SECOND, LOGGED_AT_ONCE)
        self._withheld: dict[str, int] = defaultdict(int)

    def __call__(
        self, logger: logging.Logger, level: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Return the event, with how many like it were dropped since the last. Raises `DropEvent`."""
        line = f"{logger.name} {level} {event.get('event')} {event.get('reason')} {event.get('error')}"
        if not self._may_pass(line):
            self._withheld[line] += 1
            raise structlog.DropEvent
        if withheld := self._withheld.pop(line, 0):
            event["withheld"] = withheld
        return event

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line of a library's may pass. Ours have passed already."""
        if isinstance(record.msg, dict):
            return True
        return record.msg not in CLIENTS_DOING and self._may_pass(f"{record.name} {record.levelname} {record.msg}")

    def _may_pass(self, line: str) -> bool:
        if len(self._lines) > MOST_LINES:
            self._lines.sweep(monotonic())
        return not self._lines.take(line, monotonic())
