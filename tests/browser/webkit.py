"""WebKitGTK, over WebDriver: as much of Playwright's API as the main stories need.

Playwright drives a WebKit of its own alone, which no distribution has. Here every person has a browser of their own on
a screen that nobody sees, elements are looked for by a script in the page, and keys and clicks are the browser's.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import BaseHandler, HTTPRedirectHandler, Request, build_opener

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service

DRIVER = "WebKitWebDriver"
BROWSERS = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"
PATIENCE = 10.0  # seconds for what should be there at once, on a busy machine
PAUSE = 0.02  # seconds between two looks at a page
KEYS = {"Enter": Keys.ENTER, "Tab": Keys.TAB, "Escape": Keys.ESCAPE, "Shift": Keys.SHIFT, "Control": Keys.CONTROL}
KEYS |= {"ArrowUp": Keys.ARROW_UP, "ArrowDown": Keys.ARROW_DOWN, "Backspace": Keys.BACKSPACE}

# Every step narrows or replaces what was found: by a selector, by a text, by what is inside, by a number.
FIND = """
const find = (roots, steps) => steps.reduce((found, step) => {
    if (step.css) found = found.flatMap(root => [...root.querySelectorAll(step.css)])
    if (step.visible) found = found.filter(each => each.checkVisibility({visibilityProperty: true}))
    if (step.text) found = found.filter(each => new RegExp(...step.text).test(each.textContent))
    if (step.has) found = found.filter(each => find([each], step.has).length)
    return "at" in step ? found.slice(step.at, step.at + 1 || undefined) : found
}, roots)
const found = find([document], arguments[0])
"""


@dataclass
class Outcome:
    """What a request through HTTP came to."""

    status: int
    url: str

    @property
    def ok(self) -> bool:
        return self.status < 400

    def text(self) -> str:
        return f"status {self.status}"


class WebKit:
    """What starts WebKitGTK's MiniBrowser, on a screen of its own."""

    def __init__(self, driver: str, browser: str, screen: str) -> None:
        self._driver = driver
        self._browser = browser
        self._screen = subprocess.Popen(
            [screen, "-displayfd", "1", "-screen", "0", "1300x1000x24", "-nolisten", "tcp"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._screen.stdout
        with self._screen.stdout as said:
            self._display = f":{said.readline().strip()}"

    def new_context(self, **options: Any) -> "Context":
        """Return a browser; of Playwright's options it has `viewport` and `java_script_enabled`."""
        started = Options()
        started.binary_location = self._browser
        started.add_argument("--automation")
        if not options.get("java_script_enabled", True):
            started.add_argument("--enable-javascript=false")
        # In a container, nobody may make the namespaces that its own sandbox is made of.
        environment = {**os.environ, "DISPLAY": self._display, "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
        driver = webdriver.WebKitGTK(options=started, service=Service(self._driver, env=environment))
        driver.set_window_size(**options["viewport"])
        return Context(driver)

    def close(self) -> None:
        """End the screen."""
        self._screen.terminate()
        self._screen.wait()


class Context:
    """One browser: its cookies and its windows."""

    def __init__(self, driver: webdriver.WebKitGTK) -> None:
        self.driver = driver
        self.request = self
        self._new: list[str] = list(driver.window_handles)  # windows that are no page yet
        self._cookies: dict[str, str] = {}  # of HTTP requests, until a page has them

    def on(self, event: str, handler: Callable[..., object]) -> None:
        """WebDriver has no events: what the console says is looked at in other engines."""

    def new_page(self) -> "Page":
        """Open a window."""
        if not self._new:
            self.driver.switch_to.new_window("tab")
            self._new.append(self.driver.current_window_handle)
        return Page(self, self._new.pop())

    def add_cookies(self, cookies: Sequence[Mapping[str, str]]) -> None:
        """Have these when a page of theirs is opened."""
        self._cookies.update({cookie["name"]: cookie["value"] for cookie in cookies})

    def cookies(self) -> list[dict[str, str]]:
        """Return what this browser was given."""
        return [{"name": name, "value": value} for name, value in self._cookies.items()]

    def post(self, url: str, form: Mapping[str, str], max_redirects: int = 20) -> Outcome:
        """Send a form as this browser's, outside of any page; no redirect is followed, where none is wanted."""
        said = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        request = Request(url, urlencode(form).encode(), {"Cookie": said})  # noqa: S310 - our own server
        redirects = HTTPRedirectHandler() if max_redirects else Stay()
        with build_opener(Keeping(self._cookies), redirects).open(request) as answer:
            return Outcome(answer.status, answer.url)

    def hand_over(self, url: str) -> bool:
        """Give the browser, which is at a page of `url`, the cookies that it lacks. Returns whether there were some."""
        known = {cookie["name"] for cookie in self.driver.get_cookies()}
        new = {name: value for name, value in self._cookies.items() if name not in known}
        for name, value in new.items():
            host = urlsplit(url).hostname
            self.driver.add_cookie({"name": name, "value": value, "domain": host, "path": "/", "httpOnly": True})
        return bool(new)

    def close(self) -> None:
        """End this browser."""
        self.driver.quit()


class Keeping(BaseHandler):
    """Keeps the cookies of what is answered."""

    def __init__(self, cookies: dict[str, str]) -> None:
        self._cookies = cookies

    def http_response(self, request: Request, response: Any) -> Any:
        for line in response.headers.get_all("Set-Cookie", ()):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        return response


class Stay(HTTPRedirectHandler):
    """Follows no redirect, and takes it for the answer."""

    def http_error_303(self, req: Request, fp: Any, code: int, msg: str, headers: Any) -> Any:
        fp.code = fp.status = code
        return fp


class Page:
    """One window."""

    def __init__(self, context: Context, handle: str) -> None:
        self.context = context
        self.keyboard = Keyboard(self)
        self._handle = handle

    @property
    def driver(self) -> webdriver.WebKitGTK:
        """The browser, at this window."""
        if self.context.driver.current_window_handle != self._handle:
            self.context.driver.switch_to.window(self._handle)
        return self.context.driver

    @property
    def url(self) -> str:
        """Its address."""
        return self.driver.current_url

    def bring_to_front(self) -> None:
        """Have what is typed go here."""
        self.driver  # noqa: B018 - it turns to this window

    def goto(self, url: str) -> None:
        """Load a page."""
        self.driver.get(url)
        if self.context.hand_over(url):
            self.driver.get(url)

    def reload(self) -> None:
        """Load it again."""
        self.driver.refresh()

    def evaluate(self, script: str) -> Any:
        """Return what an expression or a function comes to."""
        return self.driver.execute_script(f"const it = {script}; return typeof it == 'function' ? it() : it")

    def locator(self, selector: str, **chosen: Any) -> "Locator":
        """Return what a selector finds."""
        return Locator(self).locator(selector, **chosen)


class Keyboard:
    """The keys."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def type(self, text: str) -> None:
        """Type a text."""
        ActionChains(self._page.driver, duration=0).send_keys(text.replace("\n", Keys.ENTER)).perform()

    def press(self, keys: str) -> None:
        """Press a key, with others held meanwhile: `Shift+Enter`."""
        *held, key = keys.split("+")
        chain = ActionChains(self._page.driver, duration=0)
        for each in held:
            chain.key_down(KEYS[each])
        chain.send_keys(KEYS.get(key, key))
        for each in held:
            chain.key_up(KEYS[each])
        chain.perform()


@dataclass(frozen=True)
class Locator:
    """Elements, looked for whenever something is done with them."""

    page: Page
    steps: tuple[dict[str, Any], ...] = ()

    def locator(
        self, selector: str, has_text: re.Pattern[str] | None = None, has: "Locator | None" = None
    ) -> "Locator":
        """Return what a selector finds in these."""
        css = selector.removesuffix(":visible")
        step: dict[str, Any] = {"css": f":scope {css}" if css.startswith(">") else css, "visible": css != selector}
        if has_text:
            step["text"] = [has_text.pattern, "i" if has_text.flags & re.IGNORECASE else ""]
        if has:
            step["has"] = has.steps
        return Locator(self.page, (*self.steps, step))

    @property
    def first(self) -> "Locator":
        """The first of these."""
        return self.nth(0)

    @property
    def last(self) -> "Locator":
        """The last of these."""
        return self.nth(-1)

    def nth(self, number: int) -> "Locator":
        """One of these."""
        return Locator(self.page, (*self.steps, {"at": number}))

    def run(self, script: str) -> Any:
        """Return what a script returns that has them as `found`."""
        return self.page.driver.execute_script(FIND + script, self.steps)

    def count(self) -> int:
        """How many there are."""
        number: int = self.run("return found.length")
        return number

    def all(self) -> "list[Locator]":
        """Each of them."""
        return [self.nth(number) for number in range(self.count())]

    def _element(self) -> WebElement:
        wait(lambda: self.count() == 1, f"one of {self.steps}")
        (element,) = self.run("return found")
        assert isinstance(element, WebElement)
        return element

    def evaluate(self, script: str) -> Any:
        """Return what a function of the element comes to."""
        return self.page.driver.execute_script(f"return ({script})(arguments[0])", self._element())

    def evaluate_all(self, script: str) -> Any:
        """Return what a function of all elements comes to."""
        return self.run(f"return ({script})(found)")

    def inner_text(self) -> str:
        """Their text as it is shown."""
        text: str = self.evaluate("element => element.innerText")
        return text

    def get_attribute(self, name: str) -> str | None:
        """One of its attributes."""
        value: str | None = self.evaluate(f"element => element.getAttribute({json.dumps(name)})")
        return value

    def bounding_box(self) -> dict[str, float]:
        """Where it is."""
        box: dict[str, float] = self.evaluate("element => element.getBoundingClientRect().toJSON()")
        return box

    def click(self) -> None:
        """Click it, once it is in view: in a scroller that is reversed the driver does not see to that."""
        self.evaluate("element => element.scrollIntoView({block: 'nearest'})")
        self._element().click()

    def focus(self) -> None:
        """Give it the focus."""
        self.evaluate("element => element.focus()")

    def fill(self, text: str) -> None:
        """Have it contain this, as if it were pasted over what is there."""
        insert = "document.execCommand('insertText', false, TEXT)" if text else "document.execCommand('delete')"
        insert = insert.replace("TEXT", json.dumps(text))
        self.evaluate(f"element => {{ element.focus(); element.select(); {insert} }}")

    def select_option(self, value: str) -> None:
        """Choose from it."""
        chosen = f"element.value = {json.dumps(value)}"
        self.evaluate(f"element => {{ {chosen}; element.dispatchEvent(new Event('change', {{bubbles: true}})) }}")

    def press(self, keys: str) -> None:
        """Press a key in it."""
        self.focus()
        self.page.keyboard.press(keys)


class Expectation:
    """What has to become true, as Playwright's `expect` has it."""

    def __init__(self, locator: Locator) -> None:
        self._locator = locator

    def _get(self, script: str, wanted: object, holds: Callable[[Any], bool], timeout: float | None = None) -> None:
        got: list[Any] = []

        def look() -> bool:
            got[:] = [self._locator.run(script)]
            return holds(got[0])

        patience = PATIENCE if timeout is None else timeout / 1000
        try:
            wait(look, "", patience)
        except TimeoutError:
            raise AssertionError(f"{self._locator.steps}: {got[0]!r} is not {wanted!r}") from None

    def _one(self, script: str, wanted: str | re.Pattern[str], timeout: float | None = None) -> None:
        def holds(value: str | None) -> bool:
            if isinstance(wanted, str):
                return value == wanted
            return value is not None and bool(wanted.search(value))

        self._get(f"return found.length == 1 ? (element => {script})(found[0]) : null", wanted, holds, timeout)

    def to_have_count(self, count: int, timeout: float | None = None) -> None:
        self._get("return found.length", count, lambda got: got == count, timeout)

    def not_to_have_count(self, count: int) -> None:
        self._get("return found.length", f"not {count}", lambda got: got != count)

    def to_have_text(self, text: str | re.Pattern[str] | Sequence[str]) -> None:
        if isinstance(text, str | re.Pattern):
            self._one("element.textContent.trim()", text)
        else:
            wanted = [" ".join(each.split()) for each in text]
            self._get(
                "return found.map(element => element.textContent)",
                wanted,
                lambda got: [" ".join(each.split()) for each in got] == wanted,
            )

    def to_contain_text(self, text: str) -> None:
        self._one("element.textContent", re.compile(re.escape(text)))

    def to_be_empty(self) -> None:
        self._one("element.value ?? element.textContent.trim()", "")

    def to_have_value(self, value: str) -> None:
        self._one("element.value", value)

    def to_have_attribute(self, name: str, value: str | re.Pattern[str], timeout: float | None = None) -> None:
        self._one(f"element.getAttribute({json.dumps(name)})", value, timeout)

    def to_have_class(self, name: re.Pattern[str]) -> None:
        self._one("element.className", name)

    def to_be_focused(self) -> None:
        # In its window: of several browsers on a screen without a window manager, one is in front.
        self._one("String(element === document.activeElement)", "true")

    def to_be_checked(self) -> None:
        """It is chosen."""
        self._one("String(element.checked)", "true")

    def to_be_visible(self) -> None:
        self._one("String(element.checkVisibility({visibilityProperty: true}))", "true")

    def to_be_in_viewport(self, ratio: float = 0.01) -> None:
        self._get(
            f"""return found.length && found.every(each => {{
                const {{top, bottom, height}} = each.getBoundingClientRect()
                return height && (Math.min(bottom, innerHeight) - Math.max(top, 0)) / height >= {ratio}
            }})""",
            "in the viewport",
            bool,
        )

    def to_be_hidden(self) -> None:
        self._get("return found.every(each => !each.checkVisibility({visibilityProperty: true}))", "hidden", bool)


def wait(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Return when `condition` holds. Raises `TimeoutError` that says `what`."""
    until = monotonic() + patience
    while not condition():
        if monotonic() > until:
            raise TimeoutError(f"waited {patience:g} s for {what}")
        sleep(PAUSE)


def find_webkit() -> tuple[str, str, str] | None:
    """Return the paths of the driver, the browser and the screen, where all are there."""
    browsers = sorted(Path("/").glob(BROWSERS[1:]))
    driver, screen = shutil.which(DRIVER), shutil.which("Xvfb")
    return (driver, str(browsers[-1]), screen) if driver and screen and browsers else None
