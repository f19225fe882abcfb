"""The connection: what its status says, and what becomes of messages when it breaks and comes back."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest
from playwright.sync_api import Route

from tests.browser.cast import Cast, Person, expect
from tests.browser.conftest import GENEROUS, Gather
from tests.profile import PROFILE
from tests.proxy import Proxy, proxying
from tests.server import Server, serving


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that this test may kill."""
    with serving(tmp_path, **GENEROUS) as server:
        yield server


@pytest.fixture
def own_cast(gather: Gather, own_server: Server) -> Cast:
    """The people around it."""
    return gather(own_server)


@pytest.fixture
def link(server: Server) -> Iterator[Proxy]:
    """A link to the shared server that can break."""
    with proxying(server.port) as proxy:
        yield proxy


@pytest.fixture
def far_ann(gather: Gather, server: Server, link: Proxy, room: str) -> Person:
    """Ann in the room, at the other end of that link."""
    return gather(server, link.url).member("Far Ann").opens(room)


def test_extensions_that_load_late_are_not_missed(cast: Cast, room: str) -> None:
    """htmx starts when all of it is there, and not when its first file is: else the page would never connect."""
    ann = cast.member("Ann")
    held: list[Route] = []
    ann.page.route("**/hx-ws.min.js", lambda route: held.append(route))
    ann.page.goto(f"{ann.url}/rooms/{room}", wait_until="commit")
    ann.page.evaluate(
        """new Promise(done => {
            const look = () => window.htmx ? setTimeout(() => setTimeout(done)) : setTimeout(look, 10)
            look()
        })"""
    )
    held[0].continue_()
    ann.is_connected()


def test_the_status_is_in_words_and_in_colour(ann: Person, own_cast: Cast, own_server: Server) -> None:
    bob = own_cast.member("Bob").opens()
    expect(bob.status).to_have_text("Connected")
    connected = bob.status.evaluate("element => getComputedStyle(element).color")
    own_server.kill()
    bob.finds_it("disconnected", within=1)
    expect(bob.status).to_have_text("Disconnected")
    assert bob.status.evaluate("element => getComputedStyle(element).color") != connected
    ann.finds_it("connected")


@pytest.mark.engines(soak=True)
@pytest.mark.parametrize("end", [Server.kill, Server.stop], ids=["killed", "stopped"])
def test_a_restart_loses_nothing_and_doubles_nothing(
    own_cast: Cast, own_server: Server, end: Callable[[Server], object]
) -> None:
    ann, bob = own_cast.member("Ann").opens(), own_cast.member("Bob").opens()
    ann.says("before")
    bob.reads("before")
    end(own_server)
    for person in (ann, bob):
        person.finds_it("disconnected", within=1).sees("before")
    own_server.start()
    bob.posts("lobby", "first of all", "second")
    for person in (ann, bob):
        person.is_connected().sees("before", "first of all", "second")
    bob.says("after")
    ann.sees("before", "first of all", "second", "after")
    shown = ann.messages()
    assert [each.position for each in shown] == [1, 2, 3, 4]
    assert shown == bob.messages() == ann.reloads().messages()


@pytest.mark.engines(soak=True)
def test_drafts_typed_offline_are_sent_once(own_cast: Cast, own_server: Server) -> None:
    ann, bob = own_cast.member("Ann").opens(), own_cast.member("Bob").opens()
    own_server.kill()
    ann.finds_it("disconnected", within=1)
    ann.composer.focus()
    ann.types("typed offline").presses("Enter")
    expect(ann.drafts).to_have_count(2)
    # Said twice on purpose, it is two messages.
    ann.types("ha").presses("Enter")
    expect(ann.drafts).to_have_count(3)
    ann.types("ha").presses("Enter")
    expect(ann.drafts).to_have_count(4)
    ann.types("not sent y")
    own_server.start()
    for person in (bob, ann):
        person.is_connected().sees("typed offline", "ha", "ha")
    # What was being written is still being written.
    expect(ann.drafts).to_have_count(1)
    expect(ann.composer).to_have_value("not sent y")
    expect(ann.composer).to_be_focused()
    ann.types("et\n").has_receipt()
    for person in (bob, ann, bob.reloads()):
        person.sees("typed offline", "ha", "ha", "not sent yet")


@pytest.mark.engines
def test_missed_messages_arrive_once_and_in_order(far_ann: Person, bob: Person, link: Proxy) -> None:
    bob.says("before")
    far_ann.reads("before")
    link.cut()
    far_ann.finds_it("disconnected", within=1)
    bob.says("missed one", "missed two", "missed three")
    far_ann.sees("before")
    link.heal()
    far_ann.is_connected().sees("before", "missed one", "missed two", "missed three")
    assert far_ann.messages() == bob.messages()


def test_a_link_that_breaks_again_and_again(far_ann: Person, bob: Person, link: Proxy) -> None:
    for turn in "one", "two", "three":
        link.cut()
        far_ann.finds_it("disconnected", within=1)
        far_ann.composer.press("a")
        far_ann.writes(f"Ann {turn}").composer.press("Enter")
        bob.says(f"Bob {turn}")
        link.heal()
        far_ann.is_connected().has_receipt()
    bob.sees(*(f"{who} {turn}" for turn in ("one", "two", "three") for who in ("Bob", "Ann")))
    far_ann.sees(*(f"{who} {turn}" for turn in ("one", "two", "three") for who in ("Bob", "Ann")))


def test_more_than_is_sent_after_an_outage_becomes_a_gap_that_loads(gather: Gather, tmp_path: Path) -> None:
    with serving(tmp_path, **GENEROUS, resume_limit=10, page_size=10) as server, proxying(server.port) as link:
        bob = gather(server).member("Bob").opens()
        ann = gather(server, link.url).member("Ann").opens()
        bob.says("before")
        ann.reads("before")
        link.cut()
        ann.finds_it("disconnected", within=1)
        missed = [f"missed {number}" for number in range(1, 26)]
        bob.posts("lobby", *missed)
        link.heal()
        ann.is_connected().sees("before", *missed[-10:])
        gap = ann.page.locator(".gap button")
        expect(gap).to_have_text("Load 15 missed messages")
        gap.click()
        ann.sees("before", *missed[-20:])
        expect(gap).to_have_text("Load 5 missed messages")
        gap.click()
        ann.sees("before", *missed)
        expect(gap).to_have_count(0)
        assert ann.messages() == bob.messages()


def test_the_first_try_to_reconnect_comes_within_a_second_and_none_is_three_apart(far_ann: Person, link: Proxy) -> None:
    known = len(link.attempts)
    link.cut()
    cut_at = link.cut_at
    tries = link.wait_for_attempts(known + 6)[known:]
    assert tries[0] - cut_at < 1
    assert max(later - earlier for earlier, later in pairwise(tries)) < 3
    link.heal()
    far_ann.is_connected()


def test_a_hidden_tab_stays_up_to_date_and_comes_back(far_ann: Person, bob: Person, link: Proxy) -> None:
    far_ann.page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", {value: true})
            Object.defineProperty(document, "visibilityState", {value: "hidden"})
            document.dispatchEvent(new Event("visibilitychange"))
        }"""
    )
    bob.says("while hidden")
    far_ann.sees("while hidden")
    link.cut()
    far_ann.finds_it("disconnected", within=1)
    bob.says("while hidden and offline")
    link.heal()
    far_ann.is_connected().sees("while hidden", "while hidden and offline")


@pytest.mark.breaks("templates/room.html", "1005, 1006, 1011", "1005, 1011")
def test_a_proxy_that_misses_its_server_is_asked_until_it_has_found_it(
    far_ann: Person, bob: Person, link: Proxy
) -> None:
    link.refuse()
    far_ann.finds_it("disconnected", within=1).types("in vain\n")
    bob.says("missed")
    link.wait_for_attempts(len(link.attempts) + 2)
    far_ann.finds_it("disconnected")
    link.heal()
    far_ann.is_connected().has_receipt().sees("missed", "in vain")
    bob.sees("missed", "in vain")


@pytest.mark.breaks(
    "templates/partials/wiring.html",
    'autocomplete="off" hx-ws:send hx-nonce="{{ nonce }}" hx-include="#keys, #drafts > :not(:last-child), #recheck"',
    'autocomplete="off" hx-ws:send hx-nonce="{{ nonce }}" hx-include="#keys"',
)
def test_messages_in_flight_during_a_stop_arrive_once(gather: Gather, own_cast: Cast, own_server: Server) -> None:
    with proxying(own_server.port) as link:
        bob, ann = own_cast.member("Bob").opens(), gather(own_server, link.url).member("Ann").opens()
        link.stall()
        ann.types("on its way\n")
        expect(ann.composer).to_have_value("")  # the fresh draft; what is typed before it is there is told elsewhere
        ann.types("being wr")
        link.lose()  # the server never gets it
        own_server.stop()
        link.cut()
        ann.finds_it("disconnected", within=1).types("itten")
        own_server.start()
        link.heal()
        for person in (ann, bob):
            person.is_connected().sees("on its way")
        expect(ann.drafts).to_have_count(1)
        expect(ann.composer).to_have_value("being written")
        ann.types("\n").has_receipt()
        for person in (ann, bob, bob.reloads()):
            person.sees("on its way", "being written")


# Links that fail without a word: half-open, nobody tells the browser that they are gone.


class Timing(NamedTuple):
    """The times of a server, and in how many seconds the page has to show what: from the silence on."""

    settings: Mapping[str, float]
    yellow: float
    red: float
    green: float = 10  # from when the link is there again


QUICK = Timing({"heartbeat": 0.5, "stale_after": 1.5, "lost_after": 3.5}, yellow=3, red=5.5)
REAL = Timing({}, yellow=15, red=30, green=40)  # a page that was lost tries again each half a minute
# The real times take minutes: `make soak`.
TIMINGS = {"quick": QUICK, "real": REAL} if PROFILE == "soak" else {"quick": QUICK}
at_any_pace = pytest.mark.parametrize(
    "timing", [pytest.param(timing, id=name, marks=pytest.mark.timeout(300)) for name, timing in TIMINGS.items()]
)


@at_any_pace
@pytest.mark.breaks("templates/partials/wiring.html", 'hx-target="#chat"', 'hx-target="#nothing"')
def test_a_link_that_is_lost_without_a_word_is_replaced_by_another(
    gather: Gather, tmp_path: Path, timing: Timing
) -> None:
    """No end hears of it, and nothing ever comes through it again: a new socket is opened, again if need be."""
    with serving(tmp_path, **GENEROUS, **timing.settings) as server, proxying(server.port) as link:
        bob = gather(server).member("Bob").opens()
        ann = gather(server, link.url).member("Ann").opens()
        for time in ("the first time", "the second time"):
            link.lose()
            ann.types(f"said into the void {time}\n")
            bob.says(f"unheard {time}")
            ann.finds_it("connecting", within=timing.yellow)
            ann.finds_it("connected", within=timing.green)
            ann.reads(f"unheard {time}")
            bob.reads(f"said into the void {time}")
        assert len(ann.messages()) == 4


@at_any_pace
@pytest.mark.breaks("templates/partials/wiring.html", "{% for number in (1, 2) %}", "{% for number in (1,) %}")
def test_a_link_that_answers_no_handshake_is_tried_again_and_again(
    gather: Gather, tmp_path: Path, timing: Timing
) -> None:
    """Not even a new socket gets an answer, nor a refusal: no event would tell the page to open another."""
    with serving(tmp_path, **GENEROUS, **timing.settings) as server, proxying(server.port) as link:
        bob = gather(server).member("Bob").opens()
        ann = gather(server, link.url).member("Ann").opens()
        ann.says("before")
        known = len(link.attempts)
        link.stall()
        ann.finds_it("disconnected", within=timing.red)
        link.wait_for_attempts(known + 1)
        link.lose()  # the first that were tried are never answered
        bob.says("unheard")
        link.wait_for_attempts(len(link.attempts) + 1, patience=timing.green)
        ann.finds_it("disconnected")
        link.heal()
        ann.finds_it("connected", within=timing.green).sees("before", "unheard")
        ann.says("heard")
        bob.sees("before", "unheard", "heard")


@at_any_pace
@pytest.mark.breaks(
    "templates/partials/wiring.html",
    "htmx:ws:after:message:incoming from:#chat delay:{{ settings.stale_after }}s, ",
    "",
)
def test_a_link_that_falls_silent_is_noticed_by_itself(gather: Gather, tmp_path: Path, timing: Timing) -> None:
    """Yellow, then red; green with the first frame, and without a new socket if it comes soon."""
    with serving(tmp_path, **GENEROUS, **timing.settings) as server, proxying(server.port) as link:
        bob = gather(server).member("Bob").opens()
        ann = gather(server, link.url).member("Ann").opens()
        # As long as something comes, however little, it is connected.
        ann.page.evaluate(
            """() => {
                window.states = []
                new MutationObserver(() => window.states.push(document.querySelector("#connection").dataset.state))
                    .observe(document.querySelector("#chat"), {subtree: true, childList: true, attributes: true})
            }"""
        )
        opened = len(link.attempts)
        link.stall()
        ann.finds_it("connecting", within=timing.yellow)
        expect(ann.status).to_have_text("Connecting…")
        link.heal()
        ann.finds_it("connected", within=2)
        assert len(link.attempts) == opened
        link.stall()
        silent_since = monotonic()
        ann.finds_it("connecting", within=timing.yellow)
        ann.finds_it("disconnected", within=silent_since + timing.red - monotonic())
        bob.says("said into the silence").finds_it("connected")
        link.heal()
        ann.finds_it("connected", within=timing.green).sees("said into the silence")
        states: list[str] = ann.page.evaluate("window.states")
        changes = [state for state, after in pairwise([*states, ""]) if state != after]
        assert changes[-5:] == ["connecting", "connected", "connecting", "disconnected", "connected"]
        assert set(changes[:-5]) <= {"connected"}
