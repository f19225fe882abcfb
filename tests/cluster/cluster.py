"""Several processes of Parlor on one PostgreSQL, with the nginx site before them, and people on all of them."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from time import monotonic

from tests.cluster.database import Database
from tests.cluster.network import Network, networking
from tests.guarantees import ledger
from tests.guarantees.crowd import CROWD, PATIENCE, Guest, allow_many_files, backoff, request, sign_in
from tests.server import HERE, Machine, Server
from tests.site import nginx

DATABASE = "database"  # what machines call the database


@dataclass(frozen=True)
class Cluster:
    """Processes on one database, and the site before them."""

    database: Database
    processes: Sequence[Server]
    site: str  # its host and port

    @property
    def hosts(self) -> list[str]:
        """Where each process listens, past the site."""
        return [process.host for process in self.processes]

    async def room(self, name: str) -> str:
        """Make a room called `name`, and return its slug when every process knows it."""
        cookie = await sign_in(self.site, f"Host of {name}")
        answer = await request(self.site, "POST", "/rooms", {"name": name}, cookie)
        found = re.search(r"location: /rooms/(\S+)", answer, re.IGNORECASE)
        assert found, answer
        slug = found[1]
        for host in self.hosts:
            await eventually(partial(has_room, host, slug), f"{slug} at {host}")
        return slug

    async def people(self, room: str, count: int, hosts: Sequence[str] = (), called: str = "") -> list[Guest]:
        """Return `count` members for `room`, `called` something, spread over `hosts`: all processes, unless given."""
        pace = await backoff(self.site)
        places = cycle(hosts or self.hosts)
        names = (f"{called or room} {number}" for number in range(count))
        return [Guest(next(places), room, await sign_in(self.site, name), pace) for name in names]

    async def flaws(self, room: str, guests: Sequence[Guest]) -> list[str]:
        """Return what is wrong with the log of `room` and with the pages of `guests`, once all have settled.

        They came before its first message, and nobody else said anything.
        """
        await asyncio.gather(*(guest.settled() for guest in guests))
        log = await self.database.log(room)
        await asyncio.gather(*(guest.reaches(len(log)) for guest in guests))
        return ledger.flaws(log, guests) + ledger.differences(log, guests)


@dataclass(frozen=True)
class Apart(Cluster):
    """A cluster whose parts have a machine each; the database has a copy that holds whatever has a receipt."""

    network: Network
    machines: Sequence[Machine]  # of the processes
    copy: Database


@contextmanager
def together(folder: Path, processes: int = 2, **settings: object) -> Iterator[Cluster]:
    """Run a cluster on this machine."""
    with ExitStack() as stack:
        database = _started(stack, Database())
        servers = [_server(folder, HERE, database.url(), settings) for _ in range(processes)]
        yield Cluster(database, servers, _served(stack, folder, servers))


@contextmanager
def apart(folder: Path, processes: int = 2, **settings: object) -> Iterator[Apart]:
    """Run a cluster on machines of its own. Raises `OSError` where none can be made."""
    with ExitStack() as stack:
        network = stack.enter_context(networking())
        database = _started(stack, Database(network.machine("primary")))
        copy = _started(stack, Database(network.machine("replica"), follows=database))
        with ThreadPoolExecutor() as pool:  # here, a loop may run already
            pool.submit(asyncio.run, database.require_copies()).result()
        machines = [network.machine(f"machine-{number}") for number in range(processes)]
        for machine in machines:
            network.point(machine, {DATABASE: database.machine.address})
        servers = [_server(folder, machine, database.url(DATABASE), settings) for machine in machines]
        yield Apart(database, servers, _served(stack, folder, servers), network, machines, copy)


def _started(stack: ExitStack, database: Database) -> Database:
    stack.callback(database.remove)
    database.start()
    return database


def _server(folder: Path, machine: Machine, url: str, settings: dict[str, object]) -> Server:
    server = Server(folder / "data", database_url=url, **(CROWD | settings))
    server.machine = machine
    return server


def _served(stack: ExitStack, folder: Path, servers: Sequence[Server]) -> str:
    """Start `servers`, all at once, and the site before them; returns its host and port."""
    allow_many_files()
    for server in servers:
        stack.callback(_end, server)
    with ThreadPoolExecutor() as pool:
        list(pool.map(Server.start, servers))
    site = stack.enter_context(nginx(folder, *(server.host for server in servers)))
    return f"127.0.0.1:{site.port}"


def _end(server: Server) -> None:
    if server.running:
        server.kill()


async def has_room(host: str, slug: str) -> bool:
    """Whether the process at `host` serves the room."""
    return (await request(host, "GET", f"/rooms/{slug}")).startswith("HTTP/1.1 200 ")


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, patience: float = PATIENCE) -> None:
    """Ask again and again until `condition` holds: what another process knows, we can but ask."""
    end = monotonic() + patience
    while not await condition():
        if monotonic() > end:
            raise TimeoutError(f"waited {patience:g} s for {what}")
        await asyncio.sleep(0.05)
