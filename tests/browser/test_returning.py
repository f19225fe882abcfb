"""Pages that were away: left and gone back to, asleep with their laptop, or open twice."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.cast import Person
from tests.browser.conftest import GENEROUS, Gather
from tests.proxy import proxying
from tests.server import serving


@pytest.fixture(scope="module")
def browser(whole_chromium: Browser) -> Browser:
    """The browser that keeps pages."""
    return whole_chromium


def leaves(person: Person, room: str) -> None:
    """Follow the link to another room. The page that is left knows that it is the same when it comes back."""
    person.page.evaluate("window.stayed = true")
    person.page.locator(f"#rooms a[href='/rooms/{room}']").click()
    person.page.wait_for_url(f"**/rooms/{room}")
    person.is_connected()


def goes_back(person: Person) -> None:
    """Go back to the page that was left. Skips where the browser has not kept it: it is then a page like any other."""
    person.page.go_back(wait_until="commit")
    person.is_connected()
    if not person.page.evaluate("window.stayed === true"):
        pytest.skip("this browser keeps no page that one leaves")


@pytest.mark.breaks("templates/room.html", '"reconnectCodes": [1000, 1001', '"reconnectCodes": [1001')
def test_the_back_button_restores_a_live_page_with_its_draft(ann: Person, bob: Person, room: str) -> None:
    ann.says("before").types("being written")
    leaves(ann, "lobby")
    bob.says("while Ann was away")
    goes_back(ann)
    ann.sees("before", "while Ann was away")
    expect(ann.composer).to_have_value("being written")
    bob.says("and now")
    ann.sees("before", "while Ann was away", "and now").composer.press("Enter")
    ann.has_receipt()
    # Forth and back again: either page is as good as one that was loaded now.
    ann.page.go_forward(wait_until="commit")
    expect(ann.page).to_have_url(f"{ann.url}/rooms/lobby")
    ann.is_connected()
    bob.says("the second time")
    goes_back(ann)
    for person in (ann, bob):
        person.sees("before", "while Ann was away", "and now", "being written", "the second time")
    assert ann.messages() == bob.messages() == ann.reloads().messages()


@pytest.mark.breaks("app/web/room_page.py", 'ALONE = "*"', 'ALONE = "Cookie"')
def test_going_back_to_a_page_that_was_not_kept_brings_a_composer_of_its_own(
    ann: Person, bob: Person, room: str
) -> None:
    """One with keys that were used would take the same words for those that were said before, and swallow them."""
    # A page that has opened a window is not kept.
    with ann.page.expect_popup():
        ann.page.evaluate("() => void window.open('about:blank')")
    ann.says("hello")
    leaves(ann, "lobby")
    ann.page.go_back(wait_until="commit")
    assert ann.is_connected().page.evaluate("window.stayed === undefined")
    ann.says("hello")
    bob.sees("hello", "hello")


@pytest.mark.breaks("app/rooms/resuming.py", "gap = await self._history.gap(room, position, page.first)", "gap = None")
def test_going_back_to_a_page_that_missed_a_lot_leaves_a_gap_that_loads(gather: Gather, tmp_path: Path) -> None:
    with serving(tmp_path, **GENEROUS, resume_limit=5, page_size=5) as server:
        cast = gather(server)
        room = cast.makes_room("Tea")
        ann, bob = cast.member("Ann").opens(), cast.member("Bob").opens()
        bob.says("before")
        ann.reads("before")
        leaves(ann, room)
        missed = [f"missed {number}" for number in range(1, 9)]
        bob.posts("lobby", *missed)
        goes_back(ann)
        ann.sees("before", *missed[-5:])
        ann.page.get_by_text("Load 3 missed messages").click()
        ann.sees("before", *missed)
        assert ann.messages() == bob.messages()


def renderers(browser: Browser) -> set[int]:
    """Return the processes that show the browser's pages."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return {each["id"] for each in found if each["type"] == "renderer"}


@contextmanager
def asleep(processes: set[int]) -> Iterator[None]:
    """Have `processes` do nothing: not a timer runs."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    yield
    for process in processes:
        os.kill(process, signal.SIGCONT)


@pytest.mark.breaks("templates/partials/wiring.html", 'hx-target="#chat"', 'hx-target="#nothing"')
def test_a_laptop_that_slept_while_its_link_was_lost_says_so_and_catches_up(
    browser: Browser, gather: Gather, tmp_path: Path
) -> None:
    timing = {"heartbeat": 0.3, "stale_after": 0.7, "lost_after": 1.4}
    with serving(tmp_path, **GENEROUS, **timing) as server, proxying(server.port) as link:
        bob = gather(server).member("Bob").opens()
        others = renderers(browser)
        ann = gather(server, link.url).member("Ann").opens()
        ann.says("before").types("being written")
        ann.page.evaluate(
            """() => {
                window.states = []
                new MutationObserver(() => window.states.push(document.querySelector("#connection").dataset.state))
                    .observe(document.querySelector("#chat"), {subtree: true, childList: true, attributes: true})
            }"""
        )
        with asleep(renderers(browser) - others):
            link.lose()
            bob.says("while Ann slept").page.wait_for_timeout(1500)  # longer than `lost_after`
        ann.finds_it("connected").sees("before", "while Ann slept")
        assert "disconnected" in ann.page.evaluate("window.states")
        expect(ann.composer).to_have_value("being written")
        ann.composer.press("Enter")
        ann.has_receipt()
        bob.sees("before", "while Ann slept", "being written")
        assert ann.messages() == bob.messages()


@pytest.mark.breaks("app/chat/presence.py", "attendance.connections += 1", "attendance.connections = 1")
def test_two_tabs_of_one_person_keep_their_drafts_apart_and_count_once(gather: Gather, tmp_path: Path) -> None:
    with serving(tmp_path, **GENEROUS | {"presence_grace": 0}) as server:
        cast = gather(server)
        ann, bob = cast.member("Ann").opens(), cast.member("Bob").opens()
        tab = ann.opens_another_tab("lobby")
        ann.writes("from the first")
        tab.writes("from the second").composer.press("Enter")
        tab.has_receipt()
        expect(ann.composer).to_have_value("from the first")
        ann.composer.press("Enter")
        ann.has_receipt()
        for person in (ann, tab, bob):
            person.sees("from the second", "from the first")
        expect(bob.members).to_have_text(["Ann", "Bob"])
        tab.page.close()
        # Somebody comes and goes: by then, whoever went with the tab would be gone as well.
        eve = cast.member("Eve").opens()
        expect(bob.members).to_have_text(["Ann", "Bob", "Eve"])
        eve.page.close()
        expect(bob.members).to_have_text(["Ann", "Bob"])


@pytest.mark.breaks("app/web/sockets.py", "OUTDATED: CloseCode.RESTART", "OUTDATED: CloseCode.REFUSED")
def test_a_name_that_is_taken_in_one_tab_holds_in_the_other(gather: Gather, tmp_path: Path) -> None:
    with serving(tmp_path, **GENEROUS) as server, proxying(server.port) as link:
        bob, ann = gather(server).member("Bob").opens(), gather(server, link.url).member("Ann").opens()
        tab = ann.opens_another_tab("lobby")
        tab.writes("being written")
        ann.renames_to("Anna").is_connected()
        for person in (ann, tab, bob):
            expect(person.members).to_have_text(["Anna", "Bob"])
        tab.composer.press("Enter")
        tab.has_receipt()
        # The socket of the other tab was opened under the old name: the next one is not.
        link.cut()
        tab.finds_it("disconnected", within=1)
        link.heal()
        tab.is_connected().says("after")
        for person in (ann, tab, bob):
            person.sees("being written", "after")
        assert [each.author for each in bob.messages()] == ["Anna", None]
        assert tab.messages() == ann.messages() == bob.messages()
