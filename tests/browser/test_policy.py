"""The policy is live: what somebody smuggles onto a page does not run."""

import re

import pytest
from playwright.sync_api import Request, Route, expect

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
def test_smuggled_requests_are_refused(cast: Cast, room: str, what: str) -> None:
    ann = cast.member("Ann").foresees("").opens(room)
    directive = ann.page.evaluate(INSERT % SMUGGLED[what])
    assert re.match("script-src|style-src|require-trusted-types-for|frame-src|default-src", directive)
    assert not ann.page.evaluate("window.caught ?? false")


# What could stand in a page if escaping failed somewhere, and which part of the policy the page is told refused it.
# htmx is not refused anything: it looks for its nonce, and takes the attributes away.
INJECTED = {
    "script": ("<script>caught()</script>", "script-src-elem"),
    "foreign script": ("<script src=//evil.example/a.js></script>", "script-src-elem"),
    "script with a guessed nonce": ("<script nonce=guessed>caught()</script>", "script-src-elem"),
    "handler": ("<img src=x onerror=caught()>", "script-src-attr"),
    "address": ("<a id=bait href=javascript:caught()>bait</a>", "script-src-elem"),
    "htmx handler": ("<b hx-on:htmx:after:init=caught() hx-on:click=caught() id=bait>bait</b>", None),
    "htmx request": ("<b hx-get=/healthz?evil hx-trigger='load, click' id=bait>bait</b>", None),
    "htmx request, data-": ("<b data-hx-get=/healthz?evil data-hx-trigger='load, click' id=bait>bait</b>", None),
    "htmx with a guessed nonce": ("<b hx-get=/healthz?evil hx-trigger='load, click' hx-nonce=x id=bait>bait</b>", None),
    "style": ("<style>body { position: fixed }</style>", "style-src-elem"),
    "style attribute": ("<b style='position: fixed'>x</b>", "style-src-attr"),
    "foreign style": ("<link rel=stylesheet href=//evil.example/a.css>", "style-src-elem"),
    "picture": ("<img src=//evil.example/pixel.gif>", "img-src"),
    "base": ("<base href=//evil.example/>", "base-uri"),
    "form": ("<form action=//evil.example/><button id=bait>bait</button></form>", "form-action"),
    "frame": ("<iframe src=//evil.example/></iframe>", "frame-src"),
    "frame with a script": ("<iframe srcdoc='<script>parent.caught()</script>'></iframe>", None),  # it is told itself
    "object": ("<object data=//evil.example/a.swf></object>", "object-src"),
}
TRIPWIRE = """
    window.catches = 0
    window.caught = () => catches++
    window.refused = []
    addEventListener("securitypolicyviolation", event => refused.push(event.effectiveDirective))
"""
REFUSED = """directive => new Promise((done, failed) => {
    const look = () => refused.includes(directive) ? done() : setTimeout(look, 10)
    setTimeout(() => failed(new Error(`no ${directive} among what was refused: ${refused}`)), 5000)
    look()
})"""


@pytest.mark.breaks("app/web/security.py", "script-src 'nonce-{nonce}'", "script-src * 'unsafe-inline'")
def test_injected_markup_neither_runs_nor_loads(cast: Cast, room: str) -> None:
    """The page as the server sends it, with its headers, and markup at its end that nobody escaped."""
    ann = cast.member("Ann").foresees("")
    ann.context.add_init_script(TRIPWIRE)
    markup, requests = "", []

    def inject(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("</body>", f"{markup}</body>"))

    def note(request: Request) -> None:
        # Chromium reports a request even where the policy stops it; one that was let through gets an answer, or an
        # error that is not the policy's.
        if "evil" in request.url and request.failure != "csp":
            requests.append(f"{request.url}: {request.failure}")

    ann.page.route(f"**/rooms/{room}", inject)
    for event in ("requestfinished", "requestfailed"):
        ann.page.on(event, note)
    for what, (markup, directive) in INJECTED.items():  # noqa: B007
        ann.page.goto(f"{cast.url}/rooms/{room}")
        bait = ann.page.locator("#bait")
        if bait.count():
            bait.dispatch_event("click")
        if directive:
            ann.page.evaluate(REFUSED, directive)
        assert ann.page.evaluate("catches") == 0, what
        assert ann.page.url == f"{cast.url}/rooms/{room}"
        assert ann.page.evaluate("getComputedStyle(document.body).position") == "static"
    assert requests == []


def test_htmx_ignores_attributes_in_messages(ann: Person, bob: Person) -> None:
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
