"""The cluster interface: pub/sub, the watchdog, what processes share. A single process has none of it but a bus."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from time import monotonic

from app.chat.messages import Member
from app.cluster.bus import Bus, LocalBus
from app.cluster.drafts import SharedDrafts
from app.cluster.limits import SharedLimits
from app.cluster.notify import PostgresBus
from app.cluster.presence import SharedPresence
from app.cluster.watchdog import Watchdog
from app.delivery.hub import Audience, Hub
from app.metrics import Metrics
from app.settings import Settings
from app.store.store import Store


@dataclass(frozen=True)
class Cluster:
    """The parts that connect this process to the others; a single process has only the bus."""

    bus: Bus = field(default_factory=LocalBus)
    watchdog: Watchdog | None = None
    presence: SharedPresence | None = None
    drafts: SharedDrafts | None = None
    limits: SharedLimits | None = None

    @asynccontextmanager
    async def running(self, on_recovery: Callable[[], None]) -> AsyncIterator[None]:
        """Poll positions and share presence until the end; `on_recovery` is called when a poll works again."""
        async with AsyncExitStack() as stack:
            if self.watchdog:
                await stack.enter_async_context(self.watchdog.running(on_recovery))
            if self.presence:
                await stack.enter_async_context(self.presence.running())
            yield

    def is_current(self, grace: float = 0) -> bool:
        """Whether this process is up to date with the others, or was within `grace` seconds."""
        return self.watchdog is None or self.watchdog.is_current(grace)

    async def poll(self) -> bool:
        """Poll the positions now; return whether the database answered."""
        return self.watchdog is None or await self.watchdog.poll()

    async def load_presence(self, audience: Audience) -> None:
        """Add to an audience who is present in its room in other processes. Raises `StoreUnavailable`."""
        if self.presence:
            await self.presence.load(audience)

    async def members_elsewhere(self, room_id: int) -> list[Member]:
        """Return who is present in a room in other processes. Raises `StoreUnavailable`."""
        return await self.presence.members(room_id) if self.presence else []


def join_cluster(
    settings: Settings, store: Store, hub: Hub, served: Callable[[], Mapping[int, int]], metrics: Metrics
) -> Cluster:
    """Return this process's part in the cluster. `served` says which rooms are shown here, and how far."""
    process_id = token_hex(4)
    metrics.process.info({"process": process_id})
    if not settings.is_shared:
        return Cluster()
    bus = PostgresBus(settings.store_url, metrics.bus)
    pause = settings.poll_seconds
    return Cluster(
        bus,
        Watchdog(lambda: store.positions(served()), bus, pause, monotonic, metrics.bus),
        SharedPresence(store.shared, bus, hub, process_id, settings.presence_grace, pause, monotonic),
        SharedDrafts(store.shared),
        SharedLimits(settings, store.shared),
    )
