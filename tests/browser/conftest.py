"""What tests in a browser share: a Chromium, a server, and people with names.

Everything that holds Playwright ends with this package: while it runs, its event loop counts as running in this
thread, and asynchronous tests elsewhere could not start theirs.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.browser.cast import Cast, Person
from tests.server import Server, serving

HERE = Path(__file__).parent
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Playwright turns off what people's browsers do: a page that was left is kept, for the Back button.
REMEMBERING = ["--disable-back-forward-cache"]
# Tests write faster than people, and do not wait long for somebody to be gone.
GENEROUS = {
    "messages_burst": 10_000,
    "messages_per_second": 10_000,
    "address_messages_burst": 10_000,
    "reads_burst": 10_000,
    "creations_burst": 10_000,
    "rooms_burst": 10_000,
    "rooms_most": 10_000,
    "frames_burst": 1_000_000,
    "bytes_burst": 1_000_000_000,
    "presence_grace": 2,
}
WHOLE = ("chromium", "google-chrome")
PATIENCE = 10_000  # milliseconds for what should be there at once, on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """What drives the browsers."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        yield playwright


@pytest.fixture(scope="package")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """The browser: the one without a screen, which takes half the time, at best."""
    yield from _launched(playwright, find_chromium(playwright))


@pytest.fixture(scope="package")
def whole_chromium(playwright: Playwright) -> Iterator[Browser]:
    """The browser as people have it: the one without a screen keeps no page that one leaves."""
    yield from _launched(playwright, find_chromium(playwright, WHOLE))


def _launched(playwright: Playwright, path: str | None) -> Iterator[Browser]:
    """Launch a browser. Skips where there is none; in CI that is a failure."""
    if path is None:
        sentence = "no Chromium was found, so nothing was tried in a browser: `make test` installs one"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS, ignore_default_args=REMEMBERING)
    yield browser
    browser.close()


def find_chromium(playwright: Playwright, names: Sequence[str] = ("chromium-headless-shell", *WHOLE)) -> str | None:
    """Return the path of the first of these programs that there is, or of Playwright's own."""
    for name in names:
        if path := shutil.which(name):
            return path
    own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


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
def gather(chromium: Browser, cookies: defaultdict[str, dict[str, str]]) -> Iterator[Gather]:
    """Gather people around a server; in the end, nobody's console has an error."""
    casts: list[Cast] = []

    def gather(server: Server, url: str | None = None) -> Cast:
        casts.append(Cast(chromium, url or server.url, cookies[server.url]))
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
