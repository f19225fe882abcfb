"""One server for all tests of the protocol, and connections to it that are closed in the end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.guarantees.crowd import CROWD
from tests.protocol.parlor import House, resume
from tests.protocol.raw import Raw, connected
from tests.server import serving

SETTINGS = {**CROWD, "bytes_burst": 10**9, "message_length": 20_000}

Dial = Callable[..., Raw]


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server. Whatever it is sent is nothing that it would complain about."""
    with serving(tmp_path_factory.mktemp("protocol"), **SETTINGS) as server:
        yield House(server)
        assert server.running
        assert not server.complaints


@pytest.fixture
def plug(house: House) -> Iterator[Callable[[], Raw]]:
    """Connect, without a handshake."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(connected(house.server.host))


@pytest.fixture
def dial(house: House, plug: Callable[[], Raw]) -> Dial:
    """Connect, and do the handshake: of the lobby, where the address is not said."""

    def dial(offer: str = "", path: str = "/ws", *headers: str) -> Raw:
        return plug().open(house.server.host, path, offer, *headers)

    return dial


@pytest.fixture
def speaker(house: House, dial: Dial) -> Callable[[str], Raw]:
    """Connect as a member, to a room of their own."""

    def speaker(offer: str = "") -> Raw:
        raw = dial(offer, f"/ws/{house.room()}", f"Cookie: {house.cookie('Ann')}")
        resume(raw)
        return raw

    return speaker
