"""What one more message and 18 keys cost a page that has been open for long: time of its main thread, in Chromium."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import NamedTuple

from playwright.sync_api import CDPSession, Page, ViewportSize, sync_playwright
from websockets.sync.client import ClientConnection, connect

from bench.client import Failed

FIRST = 50  # messages that the page has when it is new
ARRIVALS = 40  # messages that are measured, one at a time
PAUSE = 0.05  # seconds between them, in which the page comes to rest
KEYS = "as people do type,"  # 18
DRAFTS = 50  # most in one frame
PATIENCE = 120.0  # seconds for a page to show what it was sent
VIEWPORT: ViewportSize = {"width": 1200, "height": 800}


class Cost(NamedTuple):
    """Seconds of the main thread for one arrival and for 18 keys, and the bytes of its heap."""

    arrival: float
    keys: float
    heap: float


class OpenPage:
    """A page of the lobby, and who speaks there."""

    def __init__(self, page: Page, devtools: CDPSession, speaker: ClientConnection) -> None:
        self._page = page
        self._devtools = devtools
        self._speaker = speaker
        self._said = 0
        devtools.send("Performance.enable")

    def hears(self, messages: int, pause: float = 0) -> None:
        """Have so many messages said and shown: as many at a time as a frame takes; one, where there is a `pause`."""
        for few in _parts(messages, 1 if pause else DRAFTS):
            numbers = [self._said + number for number in few]
            texts = [f"message {number} of a long day" for number in numbers]
            self._speaker.send(json.dumps({"message": texts, "key": [f"key-{number}" for number in numbers]}))
            while "#keys" not in str(self._speaker.recv(timeout=PATIENCE)):
                pass  # others' frames; this one is the receipt
            sleep(pause)
        self._said += messages
        self._page.wait_for_selector(f"#message-{self._said}", state="attached", timeout=PATIENCE * 1000)

    def cost(self) -> Cost:
        """Measure."""
        sleep(1)  # the page is at rest
        before = self._metric("TaskDuration")
        self.hears(ARRIVALS, PAUSE)
        arrival = (self._metric("TaskDuration") - before) / ARRIVALS
        self._page.locator("#drafts textarea").focus()
        before = self._metric("TaskDuration")
        for key in KEYS:
            self._page.keyboard.press(key)
        sleep(PAUSE)
        keys = self._metric("TaskDuration") - before
        self._page.locator("#drafts textarea").fill("")
        self._devtools.send("HeapProfiler.collectGarbage")
        return Cost(arrival, keys, self._metric("JSHeapUsedSize"))

    def _metric(self, name: str) -> float:
        found = {each["name"]: each["value"] for each in self._devtools.send("Performance.getMetrics")["metrics"]}
        return float(found[name])


def _parts(whole: int, most: int) -> Iterator[range]:
    """Split the numbers below `whole` into parts of `most`."""
    return (range(start, min(start + most, whole)) for start in range(0, whole, most))


@contextmanager
def opened(port: int, reader: str, speaker: str) -> Iterator[OpenPage]:
    """Open the lobby of the server at `port` for one member, and let another speak; each is a cookie, `name=value`."""
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        raise Failed("no Chromium was found: scripts/install-test-tools brings one")
    url = f"127.0.0.1:{port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport=VIEWPORT)
        name, _, value = reader.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": f"http://{url}"}])
        page = context.new_page()
        page.goto(f"http://{url}/rooms/lobby")
        page.wait_for_selector("#connection[data-state=connected]")
        devtools = context.new_cdp_session(page)
        with connect(f"ws://{url}/ws/lobby", additional_headers={"Cookie": speaker}, max_size=None) as link:
            yield OpenPage(page, devtools, link)
        browser.close()
