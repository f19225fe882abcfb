"""axe-core finds nothing serious, in light and dark; and what it cannot see."""

import re
from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from tests.browser.cast import Cast, Person
from tests.browser.conftest import Gather
from tests.proxy import proxying
from tests.server import ROOT, Server

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")

Scheme = Literal["light", "dark"]
schemes = pytest.mark.parametrize("scheme", ["light", "dark"])


def findings(person: Person) -> list[str]:
    """What axe finds on the page as it is, a line for each element."""
    # Only here, and only for axe's own script, the policy is bypassed.
    person.page.add_script_tag(path=AXE)
    found: dict[str, Any] = person.page.evaluate("axe.run()")
    return [
        f"{violation['impact']}: {violation['id']}: {node['html'][:160]}: {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


def member(cast: Cast, scheme: Scheme, **options: Any) -> Person:
    """Ann, whose system is set to `scheme`."""
    return cast.member("Ann", color_scheme=scheme, reduced_motion="reduce", bypass_csp=True, **options)


@schemes
def test_the_page_of_somebody_without_a_name(cast: Cast, room: str, bob: Person, scheme: Scheme) -> None:
    bob.says("hello")
    nobody = cast.somebody(color_scheme=scheme, reduced_motion="reduce", bypass_csp=True).opens(room)
    assert findings(nobody) == []


@schemes
def test_the_page_of_a_member(cast: Cast, room: str, bob: Person, scheme: Scheme) -> None:
    bob.says("hello", "see https://example.org")
    ann = member(cast, scheme).opens(room).says("hello Bob", "how are you?")
    ann.writes("x" * 5000).composer.press("Enter")
    expect(ann.notice).to_contain_text("too long")
    ann.page.locator(".rooms__new").click()
    ann.page.locator(".account").click()
    assert findings(ann) == []


@schemes
def test_history(cast: Cast, room: str, scheme: Scheme) -> None:
    cast.member("Bob").posts(room, *(f"line {number}" for number in range(1, 61)))
    ann = member(cast, scheme).opens(room)
    ann.page.locator("#scroller").hover()
    ann.page.mouse.wheel(0, -500)
    expect(ann.page.locator(".to-newest")).to_be_visible()
    assert findings(ann) == []


@schemes
def test_the_error_page(cast: Cast, scheme: Scheme) -> None:
    ann = member(cast, scheme).foresees("404")
    ann.page.goto(f"{cast.url}/rooms/nowhere")
    assert findings(ann) == []


@schemes
def test_a_phone_with_its_menu_open(cast: Cast, room: str, scheme: Scheme) -> None:
    ann = member(cast, scheme, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).opens(room)
    cast.member("Bob").posts(room, "hello")
    ann.reads("hello").page.locator(".header__menu").tap()
    expect(ann.page.locator("#sidebar")).to_be_visible()
    ann.page.locator(".rooms__new").tap()
    assert findings(ann) == []


@schemes
@pytest.mark.parametrize("state", ["connecting", "disconnected"])
def test_the_status(cast: Cast, room: str, scheme: Scheme, state: str) -> None:
    ann = member(cast, scheme).opens(room)
    ann.status.evaluate("(element, state) => { element.dataset.state = state }", state)
    assert findings(ann) == []


def test_new_messages_are_announced(ann: Person, bob: Person) -> None:
    log = ann.page.get_by_role("log")
    expect(log).to_have_accessible_name("Messages in " + ann.page.locator("h1").inner_text())
    bob.says("hello")
    expect(log).to_contain_text("hello")
    expect(ann.page.get_by_role("status").first).to_have_text("Connected")


def read_out(person: Person) -> dict[str, str]:
    """Return of each message how it is announced when it comes ("polite", "off"), as the accessibility tree has it."""
    session = person.context.new_cdp_session(person.page)
    nodes: dict[str, Any] = {each["nodeId"]: each for each in session.send("Accessibility.getFullAXTree")["nodes"]}

    def live(node: dict[str, Any] | None) -> str:
        while node:
            for each in node.get("properties", []):
                if each["name"] == "live":
                    return str(each["value"]["value"])
            node = nodes.get(node.get("parentId", ""))
        return "off"

    def text(node: dict[str, Any]) -> str:
        own = str(node.get("name", {}).get("value", "")) if node["role"]["value"] == "StaticText" else ""
        return own + "".join(text(nodes[child]) for child in node.get("childIds", []) if child in nodes)

    articles = [node for node in nodes.values() if node.get("role", {}).get("value") == "article"]
    return {found[0]: live(node) for node in articles if (found := re.findall(r"line \d+", text(node)))}


def test_screen_readers_read_only_new_messages(cast: Cast, room: str) -> None:
    bob = cast.member("Bob")
    bob.posts(room, *(f"line {number}" for number in range(1, 71)))
    ann = cast.member("Ann").opens(room).reads_up_to(70)
    bob.posts(room, "line 71")
    ann.reads("line 71")
    found = read_out(ann)
    assert len(found) == 71
    assert [found[f"line {number}"] for number in (1, 20, 71)] == ["off", "off", "polite"]


def test_many_that_were_missed_are_counted(gather: Gather, server: Server, room: str) -> None:
    with proxying(server.port) as link:
        bob = gather(server).member("Bob")
        ann = gather(server, link.url).member("Ann").opens(room)
        link.cut()
        ann.finds_it("disconnected")
        bob.posts(room, *(f"line {number}" for number in range(1, 31)))
        link.heal()
        ann.is_connected().reads("line 30")
        expect(ann.page.locator("#missed")).to_have_text("30 new messages")
        bob.posts(room, "line 31")
        ann.reads("line 31")
        # The protocol of developer tools does not tell what is turned off within a region.
        expect(ann.page.locator("#messages > .message[aria-live=off]")).to_have_count(30)
        expect(ann.page.locator("#messages > .message:not([aria-live])")).to_have_count(1)


def test_things_have_names(ann: Person) -> None:
    ann.writes("something")
    page = ann.page
    for control in (
        page.get_by_role("textbox", name="Message", exact=True),
        page.get_by_role("button", name="Send", exact=True),
        page.get_by_role("navigation", name="Rooms"),
        page.get_by_role("region", name="Here now"),
    ):
        expect(control).to_have_count(1)
        expect(control).to_be_visible()


def test_reduced_motion_disables_transitions(cast: Cast, room: str) -> None:
    ann = cast.member("Ann", reduced_motion="reduce").opens(room).says("still")
    expect(ann.message("still")).to_have_css("transition-duration", "0s")
    moving = cast.member("Bob", reduced_motion="no-preference").opens(room)
    expect(moving.message("still")).not_to_have_css("transition-duration", "0s")
