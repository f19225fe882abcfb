"""Takes the pictures of the documentation: `make screenshots`.

A real server with a clock of its own, people who talk through its public addresses, and a Chromium that looks at
it: the same pictures every time, for as long as the page is the same.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Literal

import httpx2
import uvicorn
from playwright.sync_api import Browser, expect, sync_playwright
from websockets.sync.client import connect

sys.path.insert(0, str(Path(__file__).parent.parent))  # where this file is run by its path

from app.log import set_up_logging
from app.main import create_app
from app.operations.serving import uvicorn_options
from app.settings import Settings
from app.web.cookies import COOKIE
from tests.browser.conftest import PATIENCE
from tests.browser.engines import launch_chromium

IMAGES = Path(__file__).parent.parent / "docs" / "images"
ZONE = "Europe/Berlin"
VIEWER = "Nora"
HERE = ("Ben", "Mara", "Sofia", VIEWER)
ROOMS = ("Garden party", "Release notes", "Watercooler")

# Minutes since the message before, who, what. It begins in the evening: the picture has two days.
TALK = (
    (0, "Ben", "Has anybody seen the key to the bike shed?"),
    (3, "Mara", "It hangs behind the coffee machine.\nSince the flood. Nobody remembers why."),
    (16 * 60 - 33, "Ben", "Found it. Good morning, everybody!"),
    (2, "Mara", "Morning! Who is in for lunch at the market today?"),
    (0.5, "Mara", "The dumplings are back: https://example.org/market"),
    (1, VIEWER, "Me, me, me"),
    (1, VIEWER, "Half past twelve at the fountain?"),
    (2, "Sofia", "I have a call until 12:40. Start without me, and keep me a place in the sun, please."),
    (1, "Ben", "Then a quarter to one, for all of us. The dumplings can wait. We can't, but they can."),
    (1, "Mara", "Deal!"),
)
ELSEWHERE = ((0, "Sofia", "Who brings the lanterns?"), (4, VIEWER, "I have eleven of them, and one that blinks."))
DRAFT = "I'll bring the card game"

DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "has_touch": True,
        "is_mobile": True,
    },
}
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


class Clock:
    """Says what time it is in the pictures."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 16, 42, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def serving(clock: Clock) -> Iterator[str]:
    """Run a server whose messages are dated by `clock`; gives its address."""
    with TemporaryDirectory() as data:
        settings = Settings(data_dir=Path(data), port=0, log_level="warning", time_zone=ZONE)
        server = uvicorn.Server(uvicorn.Config(create_app(settings, clock), **uvicorn_options(settings)))
        set_up_logging(settings.log_level, settings.log_format)
        thread = Thread(target=server.run)
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.05)
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def post(person: httpx2.Client, address: str, **fields: str) -> None:
    """Send a form as a browser without script does."""
    answer = person.post(address, data=fields)
    if answer.status_code != 303:
        raise RuntimeError(f"{address} answered {answer.status_code}")


def seed(url: str, clock: Clock) -> dict[str, str]:
    """Have people take names, make rooms and talk; returns their cookies, by name."""
    people = {name: httpx2.Client(base_url=url) for name in HERE}
    for name, person in people.items():
        post(person, "/name", name=name, time_zone=ZONE)
    for name in ROOMS:
        post(people[VIEWER], "/rooms", name=name)
    for room, talk in (("lobby", TALK), ("garden-party", ELSEWHERE)):
        for minutes, who, what in talk:
            clock.now += timedelta(minutes=minutes)
            post(people[who], f"/rooms/{room}/messages", message=what)
    return {name: person.cookies[COOKIE] for name, person in people.items()}


def take(browser: Browser, url: str, cookie: str, kind: str, scheme: Scheme) -> None:
    """Write a picture of the lobby on this kind of device, with this colour scheme."""
    context = browser.new_context(**DEVICES[kind], color_scheme=scheme, reduced_motion="reduce")
    context.add_cookies([{"name": COOKIE, "value": cookie, "url": url}])
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#connection")).to_have_attribute("data-state", "connected")
    expect(page.locator("#members .members__count")).to_have_text(str(len(HERE)))
    page.locator("#drafts textarea").fill(DRAFT)
    page.screenshot(path=IMAGES / f"{kind}-{scheme}.png", animations="disabled")
    context.close()


def main() -> int:
    """Take all pictures; returns the exit status."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    clock = Clock()
    expect.set_options(timeout=PATIENCE)
    with ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        url = stack.enter_context(serving(clock))
        cookies = seed(url, clock)
        for name in HERE:
            headers = {"Cookie": f"{COOKIE}={cookies[name]}"}
            stack.enter_context(connect(f"ws{url.removeprefix('http')}/ws", additional_headers=headers, proxy=None))
        browser = stack.enter_context(launch_chromium(playwright))
        for kind in DEVICES:
            for scheme in SCHEMES:
                take(browser, url, cookies[VIEWER], kind, scheme)
    return 0


if __name__ == "__main__":
    sys.exit(main())
