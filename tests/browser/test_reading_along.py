"""Somebody without a name, whose browser has the page already."""

from collections.abc import Sequence
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cast import Cast, Person
from tests.browser.test_scrolling import lines


def statuses(page: Page) -> list[int]:
    """Return a list that grows by what the server answers: browsers tell their pages 200 for a 304."""
    found: list[int] = []

    def note(event: dict[str, Any]) -> None:
        found.append(event["statusCode"])

    session = page.context.new_cdp_session(page)
    session.on("Network.responseReceivedExtraInfo", note)
    session.send("Network.enable")
    return found


def nonce(page: Page) -> str:
    found: str = page.locator("script").first.evaluate("script => script.nonce")
    return found


@pytest.mark.breaks("app/web/responses.py", '"ETag": shown.etag, ', "")
def test_a_page_that_nobody_changed_is_shown_again_and_works(cast: Cast, room: str, bob: Person) -> None:
    bob.says(*(f"message {number}" for number in range(3)))
    reader = cast.somebody().opens(room)
    first = nonce(reader.page)
    answers = statuses(reader.page)
    reader.reloads().sees("message 0", "message 1", "message 2")
    assert answers[0] == 304 and nonce(reader.page) == first
    # Styles, the socket and forms are those of a page that was loaded now.
    expect(reader.page.locator(".header")).to_have_css("display", "flex")
    expect(reader.page.locator(".dock__noscript")).to_be_hidden()
    bob.says("live")
    reader.reads("live")
    assert reader.reloads().reads("live") and nonce(reader.page) != first
    reader.joins_as("Olga of long ago").is_connected().says("hello")
    bob.sees("message 0", "message 1", "message 2", "live", "hello")


def test_history_that_the_browser_has_loads_on_to_its_beginning(cast: Cast, room: str) -> None:
    """What loads the next older part came with the nonce of another page."""
    texts = lines(1, 133)
    cast.member("Bob").posts(room, *texts)
    reader = cast.somebody().opens(room)
    answers = statuses(reader.page)
    reads_from_the_beginning(reader, texts)
    answers.clear()
    reader.reloads()
    reads_from_the_beginning(reader, texts)
    assert answers.count(304) == 3  # the page and its two older parts


def reads_from_the_beginning(reader: Person, texts: Sequence[str]) -> None:
    """Scroll up until there is no more."""
    for shown in (50, 100, len(texts)):
        reader.sees(*texts[-shown:])
        reader.page.locator("#scroller").hover(position={"x": 300, "y": 100})
        reader.page.mouse.wheel(0, -100_000)
    expect(reader.page.get_by_text("begins.")).to_have_count(1)
