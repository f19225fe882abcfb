"""People, and what they do and see. Each has a browser context: cookies, cache and windows of their own."""

import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple, Self

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Locator, Page, Request
from playwright.sync_api import expect as playwright_expect

from tests.browser import webkit
from tests.browser.engines import Engine

COOKIE = "parlor_member"

# What the browser, and htmx after it, say when a connection fails: true, and not our doing.
CONNECTION_FAILED = re.compile(
    r"WebSocket connection to '.*' failed: .*|(htmx: )?htmx:ws:error: \[object Event\].*"
    r"|Failed to load resource: net::ERR_\w+"
    r"|Firefox can.t establish a connection to the server at ws://.*"
    r"|The connection to ws://.* was interrupted while the page was loading\."
)
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"


def expect(what: Any) -> Any:
    """Return Playwright's expectation of `what`, or that of an engine which it does not drive."""
    return webkit.Expectation(what) if isinstance(what, webkit.Locator) else playwright_expect(what)


class Shown(NamedTuple):
    """A message as a page shows it. One that continues a group has no author of its own there."""

    position: int
    author: str | None
    body: str


class Person:
    """Somebody at a browser."""

    def __init__(self, context: BrowserContext, url: str, name: str | None = None) -> None:
        self.context = context
        self.url = url
        self.name = name
        self.errors: list[str] = []
        self._foreseen: list[str] = []
        self._given_up: list[str] = []  # addresses
        context.on("page", self._watch)
        self.page: Page = context.new_page()

    # Going places

    def opens(self, room: str = "lobby") -> Self:
        """Open a room's page, and wait until it is live."""
        return self.loads(lambda: self.page.goto(f"{self.url}/rooms/{room}")).is_connected()

    def loads(self, load: Callable[[], object]) -> Self:
        """Load a page, again and again, until all of it comes."""
        errors = len(self.errors)
        while not self._comes_whole(load):
            del self.errors[errors:]
        return self

    def _comes_whole(self, load: Callable[[], object]) -> bool:
        """Load a page, and return whether all of it came.

        The browser gives up what it is loading when this machine gets an address or loses one, as it does where tests
        beside this one make networks: https://issues.chromium.org/issues/41465264
        """
        self._given_up.clear()
        try:
            load()
        except Error as error:
            if NETWORK_CHANGED not in error.message:
                raise
            return False
        return not self._given_up

    def opens_another_tab(self, room: str) -> "Person":
        """Return the same person at another tab of the same browser."""
        tab = Person.__new__(type(self))
        tab.__dict__.update(self.__dict__)
        tab.page = self.context.new_page()
        return tab.opens(room)

    def reloads(self) -> Self:
        """Reload the page, and wait until it is live."""
        return self.loads(self.page.reload).is_connected()

    def joins_as(self, name: str, time_zone: str | None = None) -> Self:
        """Give a name in the form that asks for it."""
        form = self.page.locator("#join")
        form.locator("input[name=name]").fill(name)
        if time_zone:
            form.locator("select").select_option(time_zone)
        form.locator("button.when-ready").click()
        return self

    def renames_to(self, name: str) -> Self:
        """Take another name in the account menu."""
        self.page.locator(".account").click()
        self.page.locator("#account input[name=name]").fill(name)
        self.page.locator("#account button.when-ready").click()
        self.name = name
        return self

    # Writing

    @property
    def composer(self) -> Locator:
        """The field of the draft that is being written."""
        return self.page.locator("#drafts > :last-child textarea")

    @property
    def drafts(self) -> Locator:
        """What is in the composer: drafts that wait or were refused, and the one that is being written, the last."""
        return self.page.locator("#drafts > .draft")

    @property
    def notice(self) -> Locator:
        """What the server has to say to this browser alone."""
        return self.page.locator("#notice")

    def types(self, text: str) -> Self:
        """Type, key by key and without a pause, into whatever has the focus; a line end is Enter."""
        self.page.bring_to_front()  # of two windows, Firefox gives one the focus
        self.page.keyboard.type(text)
        return self

    def presses(self, *keys: str) -> Self:
        """Press keys, one after the other."""
        self.page.bring_to_front()
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def has_focus(self, field: Locator) -> Self:
        """What is typed goes there."""
        self.page.bring_to_front()
        expect(field).to_be_focused()
        return self

    def taps(self, target: Locator) -> Self:
        """Touch something with a finger; where the engine has none to drive, click it."""
        browser = self.context.browser if isinstance(self.context, BrowserContext) else None
        if browser and browser.browser_type.name == "chromium":
            target.tap()
        else:
            target.click()
        return self

    def writes(self, text: str) -> Self:
        """Put a text into the composer, at once, without sending it."""
        self.composer.fill(text)
        return self

    def says(self, *texts: str) -> Self:
        """Write and send, and wait for the receipt, each in turn."""
        for text in texts:
            self.writes(text).composer.press("Enter")
            self.has_receipt()
        return self

    def has_receipt(self) -> Self:
        """The composer is empty: nothing waits, nothing was refused."""
        expect(self.page.locator("#drafts textarea:not(:placeholder-shown)")).to_have_count(0)
        return self

    def mends(self, draft: Locator, text: str) -> Self:
        """Write another text into a draft that was refused, and send it."""
        draft.locator("textarea").fill(text)
        draft.locator("textarea").press("Enter")
        return self

    def posts(self, room: str, *texts: str) -> Self:
        """Say something through HTTP, quickly, and without a page."""
        for text in texts:
            answer = self.context.request.post(
                f"{self.url}/rooms/{room}/messages", form={"message": text}, max_redirects=0
            )
            assert answer.status == 303, answer.text()
        return self

    # What people do with messages

    def picks(self, text: str) -> Locator:
        """Pick a message, and return the toolbar."""
        self.message(text).locator(".message__pick").click()
        actions = self.page.locator("#actions")
        expect(actions).to_be_visible()
        return actions

    def reacts(self, text: str, emoji: str) -> Self:
        """Put one of the quick emoji under a message."""
        self.picks(text).locator(f"[name=react][value='{emoji}']").click()
        expect(self.page.locator("#actions")).to_be_hidden()
        return self

    def edits(self, text: str, other: str) -> Self:
        """Give a message of one's own another text."""
        self.picks(text).locator("[name=editor]").click()
        self.editor.fill(other)
        self.editor.press("Enter")
        expect(self.editor).to_have_count(0)
        return self

    def deletes(self, text: str) -> Self:
        """Delete a message of one's own."""
        self.picks(text).locator("[popovertarget=delete]").click()
        self.page.locator("#delete [name=delete]").click()
        expect(self.page.locator("#delete")).to_be_hidden()
        return self

    @property
    def editor(self) -> Locator:
        """The field of a message that is edited."""
        return self.page.locator("#editing textarea")

    def reactions(self, text: str) -> Locator:
        """The reactions under a message, each as it is to this person."""
        return self.message(text).locator(".reaction button:visible")

    # Reading

    @property
    def bodies(self) -> Locator:
        """The texts of all messages."""
        return self.page.locator(".messages .message__body")

    def message(self, text: str) -> Locator:
        """The message with exactly this text."""
        body = self.page.locator(".message__body", has_text=re.compile(rf"^\s*{re.escape(text)}\s*$"))
        return self.page.locator(".messages > .message", has=body)

    def sees(self, *texts: str) -> Self:
        """There are exactly these messages, in this order."""
        expect(self.bodies).to_have_text(list(texts))
        return self

    def reads_up_to(self, count: int) -> Self:
        """Scroll up until so many messages are there."""
        while (known := self.bodies.count()) < count:
            self.page.locator("#scroller").evaluate("element => element.scrollTo(0, -element.scrollHeight)")
            expect(self.bodies).not_to_have_count(known)
        return self

    def reads(self, text: str) -> Self:
        """There is this message, once."""
        expect(self.message(text)).to_have_count(1)
        return self

    def messages(self) -> list[Shown]:
        """What is there now."""
        found: list[list[Any]] = self.page.locator(".messages > .message").evaluate_all(
            """items => items.map(item => [
                Number(item.id.replace("message-", "")),
                item.querySelector(".message__author")?.textContent ?? null,
                item.querySelector(".message__body").textContent,
            ])"""
        )
        return [Shown(*each) for each in found]

    @property
    def status(self) -> Locator:
        """The connection's state."""
        return self.page.locator("#connection")

    def is_connected(self) -> Self:
        """The page is live."""
        return self.finds_it("connected")

    def finds_it(self, state: str, within: float | None = None) -> Self:
        """The connection shows this state, at the latest `within` so many seconds."""
        expect(self.status).to_have_attribute("data-state", state, timeout=within and within * 1000)
        return self

    # Who else is there

    @property
    def members(self) -> Locator:
        """The names of those who are here now."""
        return self.page.locator("#members li bdi")

    @property
    def member_count(self) -> Locator:
        """Their number."""
        return self.page.locator("#members .members__count")

    @property
    def rooms(self) -> Locator:
        """The names in the list of rooms."""
        return self.page.locator("#rooms a")

    # The console

    def foresees(self, error: str) -> Self:
        """Expect an error with this text in the console: the browser notes every answer that is a refusal."""
        self._foreseen.append(error)
        return self

    def _watch(self, page: Page) -> None:
        page.on("console", self._note)
        page.on("pageerror", lambda error: self._note_error(str(error)))
        page.on("requestfailed", self._note_failed)

    def _note_failed(self, request: Request) -> None:
        if request.failure == NETWORK_CHANGED:
            self._given_up.append(request.url)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note_error(message.text)

    def _note_error(self, text: str) -> None:
        if not CONNECTION_FAILED.fullmatch(text) and not any(each in text for each in self._foreseen):
            self.errors.append(f"{self.name}: {text}")


class Cast:
    """The people of one test, around one server."""

    _rooms = count(1)

    def __init__(self, browser: Engine, url: str, cookies: dict[str, str]) -> None:
        self.browser = browser
        self.url = url
        self._cookies = cookies  # by name: who has one on this server is a member already
        self._people: list[Person] = []

    def somebody(self, name: str | None = None, **options: Any) -> Person:
        """Return somebody without a name, at a browser with these `options`."""
        options.setdefault("viewport", {"width": 1200, "height": 800})
        person = Person(self.browser.new_context(**options), self.url, name)
        self._people.append(person)
        return person

    def member(self, name: str, **options: Any) -> Person:
        """Return somebody who has this name already."""
        person = self.somebody(name, **options)
        if cookie := self._cookies.get(name):
            person.context.add_cookies([{"name": COOKIE, "value": cookie, "url": self.url}])
        else:
            answer = person.context.request.post(f"{self.url}/name", form={"name": name})
            assert answer.ok, answer
            (cookie,) = (each["value"] for each in person.context.cookies() if each["name"] == COOKIE)
            self._cookies[name] = cookie
        return person

    def makes_room(self, name: str | None = None) -> str:
        """Make a room, and return its slug."""
        person = self.member("Host")
        answer = person.context.request.post(f"{self.url}/rooms", form={"name": name or f"Room {next(self._rooms)}"})
        assert answer.ok, answer
        self._people.remove(person)
        person.context.close()
        return answer.url.rsplit("/", 1)[1]

    def leave(self) -> None:
        """Close all browsers."""
        for person in self._people:
            person.context.close()

    def errors(self) -> Sequence[str]:
        """What should not have been in anybody's console."""
        return [error for person in self._people for error in person.errors]
