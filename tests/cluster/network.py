"""Machines made of network namespaces, with a router between them that can lose what some say to others.

What is lost is lost in the router, without a word: the machines' own links stay up, as when a cable is pulled far away.
Each machine has names of its own for addresses, in a hosts file that can be changed while it runs.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.server import Machine

IP = shutil.which("ip", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
NETWORK = "198.18"  # set aside for tests of networks: RFC 2544
SPACES = Path("/run/netns")
MOST_NETWORKS = 250
ETC = Path("/etc/netns")  # `ip netns exec` lays what is here over /etc


class Network:
    """A router, this machine, and up to 60 others, each with a link of its own to the router."""

    def __init__(self) -> None:
        self._prefix = self._subnet = self._router = self._link = ""
        self._names: list[str] = []

    def start(self) -> None:
        """Make the router, and a link to it from here. Raises `OSError` where that is not allowed."""
        number = _first_free()
        self._prefix, self._subnet = f"parlor-{number}", f"{NETWORK}.{number}"
        self._router = router(number)
        self._link = f"pl-{number}"  # from here to the router; a device has 15 characters at most
        self._names = [self._router]
        ip("link", "add", "name", self._link, "type", "veth", "peer", "name", "here", "netns", self._router)
        self._join("here", 1)
        ip("address", "add", f"{self._subnet}.2/30", "dev", self._link)
        ip("link", "set", "dev", self._link, "up")
        ip("route", "add", f"{self._subnet}.0/24", "via", f"{self._subnet}.1")
        forwarding = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        ip("netns", "exec", self._router, "sh", "-c", forwarding)

    def machine(self, name: str) -> Machine:
        """Return a new machine called `name`."""
        space, place = f"{self._prefix}-{name}", 4 * len(self._names) + 1
        self._names.append(space)
        ip("netns", "add", space)
        ip("link", "add", "name", name, "netns", self._router, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._join(name, place)
        address = f"{self._subnet}.{place + 1}"
        ip("-n", space, "address", "add", f"{address}/30", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", space, "link", "set", "dev", device, "up")
        ip("-n", space, "route", "add", "default", "via", f"{self._subnet}.{place}")
        assert IP
        (ETC / space).mkdir(parents=True)
        machine = Machine(address, (IP, "netns", "exec", space))
        self.point(machine, {})
        return machine

    def point(self, machine: Machine, names: dict[str, str]) -> None:
        """Let `names` stand for these addresses on `machine`."""
        lines = [f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **names}.items()]
        # The file is written anew in its place: another one would not be seen by what runs.
        (ETC / machine.within[-1] / "hosts").write_text("".join(lines))

    def cut(self, one: Machine, other: Machine) -> None:
        """Lose everything that these two send to each other, until `heal`."""
        self._rule("add", one, other)

    def heal(self, one: Machine, other: Machine) -> None:
        """Pass on again what they send."""
        self._rule("del", one, other)

    def _rule(self, action: str, one: Machine, other: Machine) -> None:
        for source, target in ((one, other), (other, one)):
            ip(
                *("-n", self._router, "rule", action, "from", source.address, "to", target.address, "blackhole"),
            )

    def _join(self, device: str, place: int) -> None:
        ip("-n", self._router, "address", "add", f"{self._subnet}.{place}/30", "dev", device)
        ip("-n", self._router, "link", "set", "dev", device, "up")

    def stop(self) -> None:
        """Take everything away. What still runs there goes on, alone."""
        with suppress(OSError):
            ip("link", "delete", "dev", self._link)  # with the router it would go too, but later
        for space in self._names:
            with suppress(OSError):
                ip("netns", "delete", space)
            shutil.rmtree(ETC / space, ignore_errors=True)


def _first_free() -> int:
    """Make a router's namespace with a number that nobody has, and return that: several tests may run at once."""
    for number in range(1, MOST_NETWORKS):
        if not (SPACES / router(number)).exists():
            with suppress(FileExistsError):
                ip("netns", "add", router(number))
                return number
    raise OSError("there are too many networks, of runs that did not end well: ip netns list")


def router(number: int) -> str:
    """Return what the router of a network is called."""
    return f"parlor-{number}-router"


def ip(*words: str) -> None:
    """Have `ip` do what `words` say. Raises `OSError` where it cannot."""
    if IP is None:
        raise FileNotFoundError("there is no ip (iproute2)")
    done = subprocess.run([IP, *words], capture_output=True, text=True)
    if "File exists" in done.stderr:
        raise FileExistsError(done.stderr.strip())
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def networking() -> Iterator[Network]:
    """Make a network; it is gone at the end. Raises `OSError` where that is not allowed."""
    network = Network()
    try:
        network.start()
        yield network
    finally:
        network.stop()


def skip_without_machines() -> None:
    """Skip the test that asks where no machines can be made; in CI it fails."""
    try:
        with networking():
            pass
    except OSError as error:
        sentence = f"no machines can be made of network namespaces, which takes root and iproute2: {error}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(sentence)
