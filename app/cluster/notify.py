"""The bus over PostgreSQL: LISTEN and NOTIFY, on a connection of its own that reconnects.

Announcements of one turn of the loop go out together. They are sent outside of the transactions that write, because a
transaction that notifies holds a lock for which all others that notify wait. Any user of the database may write on the
channel, so unreadable notifications are counted and dropped.
https://www.postgresql.org/docs/current/sql-notify.html
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from random import uniform

import asyncpg
import structlog

from app.cluster.bus import Listener, LocalBus
from app.metrics import BusMetrics
from app.store import topics

log = structlog.get_logger("parlor.bus")

CHANNEL = "parlor"
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two tries to connect, give or take a half
ANSWER_SECONDS = 2.0  # after which a connection that says nothing is given up
CHECK_SECONDS = 2.0  # between two questions that find out whether it still answers

RING = "SELECT pg_notify($1, note) FROM unnest($2::text[]) AS note"
USAGE = "SELECT pg_notification_queue_usage()"
# A TimeoutError is an OSError. The driver raises its internal error if a connection ends during a query.
LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class PostgresBus:
    """The bus over the database at `url`: `postgresql://user:password@host:port/name`."""

    def __init__(self, url: str, metrics: BusMetrics) -> None:
        self._url = url
        self._metrics = metrics
        metrics.connected.set(0)  # not yet
        self._here = LocalBus()
        self._look: Callable[[], None] = lambda: None
        self._waiting: dict[str, int] = {}  # positions that others are to be told of
        self._rung = asyncio.Event()  # something waits, or the connection is gone

    def listen(self, listener: Listener) -> None:
        """Call `listener` with the topic and position of each announcement, from any process."""
        self._here.listen(listener)

    def on_missed(self, look: Callable[[], None]) -> None:
        """Call `look` after each interruption."""
        self._look = look

    def announce(self, topic: str, position: int) -> None:
        """Announce that `topic` has reached `position`: here at once, elsewhere as soon as possible."""
        self.hear(topic, position)
        topics.raise_to(self._waiting, topic, position)
        self._rung.set()

    def hear(self, topic: str, position: int) -> None:
        """Call the listeners here, as an announcement would."""
        self._here.hear(topic, position)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Stay connected; at the end, send what was announced, if the database answers."""
        staying = asyncio.create_task(self._stay_connected(), name="bus")
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._all_sent()
            staying.cancel()
            await asyncio.wait({staying})

    async def _all_sent(self) -> None:
        while self._waiting:  # noqa: ASYNC110 once, at the end
            await asyncio.sleep(0.01)

    # The connection

    async def _stay_connected(self) -> None:
        pause, connected = FIRST_PAUSE, 0
        while True:
            try:
                async with self._connected() as connection:
                    pause, connected = FIRST_PAUSE, connected + 1
                    if connected > 1:
                        self._metrics.reconnected()
                    await self._serve(connection)
            except LOST as error:
                log.warning("not connected", error=str(error) or type(error).__name__)
            await asyncio.sleep(uniform(pause / 2, pause * 1.5))  # noqa: S311 - no secret
            pause = min(pause * 2, LONGEST_PAUSE)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        # A notification need not be on the disk: after a crash, every process polls.
        settings = {"application_name": "parlor bus", "synchronous_commit": "off"}
        connection = await asyncpg.connect(
            self._url, timeout=ANSWER_SECONDS, command_timeout=ANSWER_SECONDS, server_settings=settings
        )
        try:
            connection.add_termination_listener(lambda _: self._rung.set())
            # The pid is asked for now: the last callback may come when the connection is gone.
            await connection.add_listener(CHANNEL, partial(self._heard, connection.get_server_pid()))
            self._metrics.connected.set(1)
            self._look()
            yield connection
        finally:
            self._metrics.connected.set(0)
            connection.terminate()

    async def _serve(self, connection: asyncpg.Connection) -> None:
        """Send announcements, and check the connection now and then, until it is closed."""
        while not connection.is_closed():
            self._rung.clear()
            if self._waiting:
                await self._ring(connection)
            else:
                self._metrics.queue.set(await connection.fetchval(USAGE))
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._rung.wait()

    async def _ring(self, connection: asyncpg.Connection) -> None:
        positions, self._waiting = self._waiting, {}
        notes = topics.write(positions)
        try:
            await connection.execute(RING, CHANNEL, notes)
        except BaseException:
            for topic, position in positions.items():
                topics.raise_to(self._waiting, topic, position)
            raise
        for _ in notes:
            self._metrics.sent()

    def _heard(self, own: int, connection: object, sender: int, channel: str, note: object) -> None:
        if sender == own:
            return
        positions, unreadable = topics.read(str(note))
        self._metrics.received(unreadable)
        for topic, position in positions.items():
            self.hear(topic, position)
