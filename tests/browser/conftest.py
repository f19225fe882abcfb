"""What tests in a browser share: a Chromium, a server, and people with names.

Everything that holds Playwright ends with this package: while it runs, its event loop counts as running in this
thread, and asynchronous tests elsewhere could not start theirs.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.browser.cast import Cast, Person
from tests.browser.engines import ENGINES, WHOLE, Engine, launch_chromium, launch_firefox, launch_webkit
from tests.server import Server, serving

HERE = Path(__file__).parent
# Tests write faster than people, and do not wait long for somebody to be gone.
GENEROUS = {
    "messages_burst": 10_000,
    "messages_per_second": 10_000,
    "address_messages_burst": 10_000,
    "reads_burst": 10_000,
    "creations_burst": 10_000,
    "rooms_burst": 10_000,
    "max_rooms": 10_000,
    "frames_burst": 1_000_000,
    "bytes_burst": 1_000_000_000,
    "presence_grace": 2,
}
ENGINE = os.environ.get("TEST_ENGINE", "chromium")
PATIENCE = 10_000  # milliseconds for what should be there at once, on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have the main stories tried in each engine: a few always, all where `TEST_ENGINE` names one (`make soak`)."""
    story = metafunc.definition.get_closest_marker("engines")
    if "browser" in metafunc.fixturenames and story:
        tried = (ENGINE,) if "TEST_ENGINE" in os.environ or story.kwargs.get("soak") else ENGINES
        driven = [engine for engine in tried if engine != story.kwargs.get("without")]
        metafunc.parametrize("browser", driven, indirect=True, scope="package")


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """What drives the browsers."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        yield playwright


@pytest.fixture(scope="package")
def browser(request: pytest.FixtureRequest) -> Engine:
    """The engine of a test: Chromium, or another where it is tried in several."""
    engine: Engine = request.getfixturevalue(getattr(request, "param", ENGINE))
    return engine


@pytest.fixture(scope="package")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """The one without a screen, which takes half the time, at best."""
    with closing(launch_chromium(playwright)) as browser:
        yield browser


@pytest.fixture(scope="package")
def whole_chromium(playwright: Playwright) -> Iterator[Browser]:
    """Chromium as people have it: the one without a screen keeps no page that one leaves."""
    with closing(launch_chromium(playwright, WHOLE)) as browser:
        yield browser


@pytest.fixture(scope="package")
def firefox(playwright: Playwright) -> Iterator[Engine]:
    """Firefox."""
    with closing(launch_firefox(playwright)) as browser:
        yield browser


@pytest.fixture(scope="package")
def webkit() -> Iterator[Engine]:
    """WebKitGTK."""
    with closing(launch_webkit()) as browser:
        yield browser


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of tests that leave it as it is: each talks in a room of its own."""
    with serving(tmp_path_factory.mktemp("shared"), **GENEROUS) as server:
        yield server


@pytest.fixture(scope="package")
def cookies() -> defaultdict[str, dict[str, str]]:
    """The cookies of those who have a name, by server and name: in the next test they are still who they were."""
    return defaultdict(dict)


class Gather(Protocol):
    """Gathers people around a server, at its own address or at another that leads to it."""

    def __call__(self, server: Server, url: str | None = None) -> Cast: ...


@pytest.fixture
def gather(browser: Engine, cookies: defaultdict[str, dict[str, str]]) -> Iterator[Gather]:
    """Gather people around a server; in the end, nobody's console has an error."""
    casts: list[Cast] = []

    def gather(server: Server, url: str | None = None) -> Cast:
        casts.append(Cast(browser, url or server.url, cookies[server.url]))
        return casts[-1]

    yield gather
    errors = [error for cast in casts for error in cast.errors()]
    for cast in casts:
        cast.leave()
    assert not errors, "in the console: " + "; ".join(errors)


@pytest.fixture
def cast(gather: Gather, server: Server) -> Cast:
    """The people around the shared server."""
    return gather(server)


@pytest.fixture
def room(cast: Cast) -> str:
    """The slug of an empty room that no other test knows."""
    return cast.makes_room()


@pytest.fixture
def ann(cast: Cast, room: str) -> Person:
    """Ann, a member, in the room."""
    return cast.member("Ann").opens(room)


@pytest.fixture
def bob(cast: Cast, room: str) -> Person:
    """Bob, a member, in the room."""
    return cast.member("Bob").opens(room)
