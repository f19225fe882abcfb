"""The policy is live: what somebody smuggles onto a page does not run."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.cast import Cast, Person

SMUGGLED = {
    "handler": """const image = document.createElement("img")
        image.setAttribute("onerror", "window.caught = true")
        image.src = "data:image/png,broken"
        document.body.append(image)""",
    "script": """const script = document.createElement("script")
        script.append("window.caught = true")
        document.body.append(script)""",
    "style": """const box = document.createElement("p")
        box.setAttribute("style", "position: fixed")
        document.body.append(box)
        window.caught = getComputedStyle(box).position === "fixed" """,
    "markup": """document.body.insertAdjacentHTML("beforeend", "<b>smuggled</b>")
        window.caught = true""",
    "eval": """window.setTimeout("window.caught = true")""",
    "frame": """const frame = document.createElement("iframe")
        frame.src = "/"
        document.body.append(frame)""",
}
# Insert it, and wait until the browser has said that it refused.
INSERT = """() => new Promise(done => {
    document.addEventListener("securitypolicyviolation", event => done(event.effectiveDirective))
    try {
        %s
    } catch (refused) {
        if (!(refused instanceof TypeError)) throw refused
    }
})"""


@pytest.mark.parametrize("what", SMUGGLED)
def test_what_is_smuggled_in_is_refused(cast: Cast, room: str, what: str) -> None:
    ann = cast.member("Ann").foresees("").opens(room)
    directive = ann.page.evaluate(INSERT % SMUGGLED[what])
    assert re.match("script-src|style-src|require-trusted-types-for|frame-src|default-src", directive)
    assert not ann.page.evaluate("window.caught ?? false")


def test_htmx_takes_nothing_from_what_people_write(ann: Person, bob: Person) -> None:
    """An element with htmx attributes among the messages is inert, however it came there."""
    bob.says("first")
    ann.reads("first")
    requests: list[str] = []
    ann.page.on("request", lambda request: requests.append(request.url))
    ann.page.evaluate(
        """() => {
            const trap = document.createElement("li")
            trap.setAttribute("hx-get", "/healthz?trap")
            trap.setAttribute("hx-trigger", "load, click")
            trap.id = "trap"
            trap.textContent = "trap"
            document.querySelector("#messages").append(trap)
            htmx.process(document.body)
            trap.click()
        }"""
    )
    bob.says("second")
    ann.reads("second")
    assert [url for url in requests if "trap" in url] == []


def test_an_ordinary_day_leaves_the_console_clean(cast: Cast, room: str, bob: Person) -> None:
    """Whoever looks after the cast would see an error; this is the day."""
    olga = cast.somebody().opens(room).joins_as("Olga").is_connected().says("one", "two")
    bob.reads("two").says("three https://example.org")
    olga.reads("three https://example.org").writes("y" * 5000).composer.press("Enter")
    expect(olga.notice).to_contain_text("too long")
    olga.mends(olga.drafts.first, "shorter").has_receipt().reloads().renames_to("Olga B.").is_connected()
    olga.opens("lobby").says("bye")
    assert olga.errors == []
