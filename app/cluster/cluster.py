"""What ties a process to the others that serve the same log. One that is alone, on SQLite, pays for none of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from time import monotonic

from app.cluster import presence, watchdog
from app.cluster.bus import Bus, LocalBus
from app.cluster.drafts import Recollection
from app.cluster.limits import Allowance
from app.cluster.notify import PostgresBus
from app.cluster.presence import Register, SharedRegister
from app.cluster.watchdog import Lookout, Watch
from app.delivery.hub import Hub
from app.metrics import Metrics
from app.settings import Settings
from app.store.store import Store


@dataclass(frozen=True)
class Neighbours:
    """How a process hears of the others, sees what they do, and shares with them; by default there are none."""

    bus: Bus = field(default_factory=LocalBus)
    lookout: Lookout = field(default_factory=watchdog.Alone)
    register: Register = field(default_factory=presence.Alone)
    recollection: Recollection | None = None  # of drafts; without it, pages come back to who remembers
    allowance: Allowance | None = None  # what all together may do; without it, the limits of this process are all


def find_neighbours(
    settings: Settings, store: Store, hub: Hub, served: Callable[[], Mapping[int, int]], metrics: Metrics
) -> Neighbours:
    """Return the neighbours that there may be. `served` says which rooms are shown here, and how far."""
    process_id = token_hex(4)
    metrics.process.info({"process": process_id})
    if not settings.is_shared:
        return Neighbours()
    bus = PostgresBus(settings.store_url, metrics.bus)
    pause = settings.look_seconds
    return Neighbours(
        bus,
        Watch(lambda: store.positions(served()), bus, pause, monotonic, metrics.bus),
        SharedRegister(store, bus, hub, process_id, settings.presence_grace, pause, monotonic),
        Recollection(store),
        Allowance(settings, store),
    )
