"""The engines that tests run in. Each gives browsers whose pages are Playwright's, or alike."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright

from tests.browser.webkit import WebKit, find_webkit

Found = TypeVar("Found")

ENGINES = ("chromium", "firefox", "webkit")

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
WHOLE = ("chromium", "google-chrome")
# Of several windows, each may have the focus.
FOCUSED: dict[str, str | float | bool] = {"focusmanager.testmode": True}
# A finger: https://searchfox.org/mozilla-central/source/widget/LookAndFeel.h, PointerCapabilities.
COARSE: dict[str, str | float | bool] = {"ui.primaryPointerCapabilities": 1, "ui.allPointerCapabilities": 1}


class Engine(Protocol):
    """What gives each person a browser of their own."""

    def new_context(self, **options: Any) -> Any:
        """Return a browser as Playwright's `BrowserContext`, with its `options` as far as the engine has them."""


class Firefox:
    """Firefox as Mozilla and Debian ship it, over WebDriver BiDi. What that has no command for is a preference."""

    def __init__(self, playwright: Playwright, path: str) -> None:
        self._playwright = playwright
        self._path = path
        self._browsers: dict[bool, Browser] = {}

    def new_context(self, has_touch: bool = False, is_mobile: bool = False, **options: Any) -> BrowserContext:
        """Return a browser with these `options`; `is_mobile` is Chromium's alone."""
        if has_touch not in self._browsers:
            self._browsers[has_touch] = self._playwright.firefox.launch(
                channel="moz-firefox",
                executable_path=self._path,
                firefox_user_prefs={**FOCUSED, **COARSE} if has_touch else FOCUSED,
            )
        return self._browsers[has_touch].new_context(**options)

    def close(self) -> None:
        """End it."""
        for browser in self._browsers.values():
            browser.close()


def launch_chromium(playwright: Playwright, names: Sequence[str] = ("chromium-headless-shell", *WHOLE)) -> Browser:
    """Launch the first of the programs with these names that there is, or Playwright's own."""
    path = _found("Chromium", find_chromium(playwright, names))
    return playwright.chromium.launch(executable_path=path, args=ARGUMENTS, ignore_default_args=REMEMBERING)


def launch_firefox(playwright: Playwright) -> Firefox:
    """Return what launches Firefox as it is wanted."""
    return Firefox(playwright, _found("Firefox", shutil.which("firefox-esr") or shutil.which("firefox")))


def launch_webkit() -> WebKit:
    """Return what launches WebKitGTK."""
    driver, browser, screen = _found("WebKitGTK", find_webkit())
    return WebKit(driver, browser, screen)


def find_chromium(playwright: Playwright, names: Sequence[str]) -> str | None:
    """Return the path of the first of these programs that there is, or of Playwright's own."""
    for name in names:
        if path := shutil.which(name):
            return path
    own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def _found(name: str, found: Found | None) -> Found:
    """Return what was `found` of a browser. Skips where that is nothing; in CI that is a failure."""
    if found:
        return found
    sentence = f"no {name} was found, so nothing was tried in it: `make test` installs one"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)
