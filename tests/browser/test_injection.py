"""What people write, in a browser: nothing runs, nothing loads, nothing moves; the text is shown as text."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, Request, expect
from websockets.sync.client import connect

from app.chat.messages import clean
from app.chat.names import name_key
from tests.browser.cast import COOKIE, Cast, Person
from tests.browser.conftest import GENEROUS, Gather
from tests.hostile import DIRECTIONS, LONGEST
from tests.html.test_injection import STORED, TAKEN
from tests.server import Server, serving
from tests.shown import shown_text

PAGE_SIZE = 500  # the most that a page may show
PARTS = 5  # a room of its own for each: the longer a page, the slower

# Whatever a payload would run calls `pwned`; what it would load, the policy may refuse.
TRIPWIRE = """
    window.incidents = []
    window.pwned = () => incidents.push("pwned")
    addEventListener("securitypolicyviolation", event => incidents.push(event.effectiveDirective + event.blockedURI))
"""
# What somebody does at the composer, faster than any keys: write, press Enter, go on in the fresh draft.
TEXTS = """all => all.map(each => {
    const copy = each.cloneNode(true)
    for (const link of copy.querySelectorAll("a"))
        if (link.textContent.includes("xn--")) link.textContent = link.getAttribute("href")
    return copy.textContent
})"""
SEND = """async texts => {
    const drafts = document.querySelector("#drafts")
    const draft = () => drafts.querySelector(":scope > :last-child textarea")
    for (const text of texts) {
        draft().value = text
        draft().dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true}))
        while (drafts.children.length > 10 || draft()?.value !== "") await new Promise(done => setTimeout(done))
    }
}"""
# The page without what is there to change.
SKELETON = """() => {
    const page = document.documentElement.cloneNode(true)
    for (const changing of page.querySelectorAll("#messages, #members, #rooms, #keys")) changing.replaceChildren()
    page.querySelector("#cursor").removeAttribute("value")
    return page.outerHTML
}"""
# Messages that leave their place: wider than what scrolls, or over the one before. Half a pixel is rounding.
DISPLACED = """() => {
    const scroller = document.querySelector("#scroller")
    const room = scroller.getBoundingClientRect()
    let end = -Infinity
    const displaced = [...document.querySelectorAll("#messages > .message")].filter(message => {
        const box = message.getBoundingClientRect()
        const parts = [...message.querySelectorAll(".message__author, .message__time, .message__body")]
            .map(part => part.getBoundingClientRect())
        const fits = box.left >= room.left && box.right <= room.right && box.top >= end - 0.5 && parts.every(
            part => part.top >= box.top - 0.5 && part.bottom <= box.bottom + 0.5 && part.right <= box.right + 0.5
        )
        end = box.bottom
        return !fits
    })
    if (scroller.scrollWidth > scroller.clientWidth) displaced.push(scroller)
    return displaced.map(element => element.outerHTML.slice(0, 300))
}"""

# Of each character, how far from the start of its element it stands.
PLACES = """elements => elements.map(element => [...element.textContent].map((_, place) => {
    const character = document.createRange()
    character.setStart(element.firstChild, place)
    character.setEnd(element.firstChild, place + 1)
    return Math.round(character.getBoundingClientRect().left - element.getBoundingClientRect().left)
}))"""


class Witness:
    """Watches one person's browser, from before a page opens."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.page: Page = person.page
        self.surprises: list[str] = []
        person.context.add_init_script(TRIPWIRE)
        self.page.on("request", self._note)
        self.page.on("dialog", lambda dialog: self.surprises.append(f"dialog: {dialog.message}"))
        self.page.on("popup", lambda popup: self.surprises.append(f"popup: {popup.url}"))

    def _note(self, request: Request) -> None:
        expected = (
            re.escape(self.person.url)
            + r"/(rooms/[a-z0-9-]+(/messages\?before=\d+)?|static/[0-9a-f]{12}/(css|vendor|icons)/[a-z.-]+)"
        )
        if not re.fullmatch(expected, request.url) and not self._is_wiring(request.url):
            self.surprises.append(f"request: {request.url}")

    def _is_wiring(self, url: str) -> bool:
        return url.startswith("data:text/html;charset=utf-8,%3C") and "evil" not in url and "pwned" not in url

    def saw_nothing(self) -> None:
        assert self.page.evaluate("incidents") == []
        assert self.surprises == []
        assert self.person.errors == []


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes the longest of texts, and shows many at once."""
    settings = {**GENEROUS, "message_length": LONGEST, "page_size": PAGE_SIZE, "members_shown": PAGE_SIZE}
    with serving(tmp_path_factory.mktemp("patient"), **settings) as server:
        yield server


@pytest.fixture
def cast(gather: Gather, patient: Server) -> Cast:
    return gather(patient)


def shown(person: Person, selector: str = ".message__body") -> Any:
    """Return the texts of all elements of a kind among the messages, with hosts as they were said."""
    return person.page.locator(f".messages {selector}").evaluate_all(TEXTS)


@pytest.mark.breaks("app/html/templates.py", "autoescape=True", "autoescape=False")
@pytest.mark.parametrize("part", range(PARTS))
def test_hostile_texts_are_shown_as_text(cast: Cast, room: str, part: int) -> None:
    """Everything is sent through the composer by Ann, and read by Bob, live and once more after a reload."""
    texts = STORED[part::PARTS]
    ann, bob = cast.member("Ann"), cast.member("Bob")
    witnesses = [Witness(ann), Witness(bob)]
    skeletons = [person.opens(room).page.evaluate(SKELETON) for person in (ann, bob)]
    ann.page.evaluate(SEND, texts)
    ann.has_receipt()
    # The browser itself has put replacements for halves of surrogate pairs, as `clean` does.
    expected = [shown_text(clean(text, LONGEST)) for text in texts]
    expect(bob.bodies).to_have_count(len(texts))
    for person in (ann, bob):
        assert shown(person) == expected
        assert person.page.evaluate(DISPLACED) == []
    assert [person.page.evaluate(SKELETON) for person in (ann, bob)] == skeletons
    for witness in witnesses:
        witness.saw_nothing()
    bob.reloads().reads_up_to(len(texts))
    assert shown(bob) == expected
    assert bob.page.evaluate(DISPLACED) == []
    witnesses[1].saw_nothing()


@pytest.mark.breaks(
    "templates/partials/members.html", "<bdi>{{ member.name }}</bdi>", "<bdi>{{ member.name | safe }}</bdi>"
)
def test_hostile_names_are_shown_as_text(cast: Cast, patient: Server, room: str) -> None:
    """Strangers with such names come in and write, and make rooms called so, while Bob looks on."""
    names = list({name_key(name): name for name in TAKEN[::8]}.values())
    bob = cast.member("Bob")
    witness = Witness(bob)
    skeleton = bob.opens(room).page.evaluate(SKELETON)
    rooms_before = bob.rooms.count()
    slugs: list[str] = []
    with ExitStack() as strangers:
        for name in names:
            stranger = strangers.enter_context(httpx2.Client(base_url=patient.url))
            assert stranger.post("/name", data={"name": name}).status_code == 303
            slugs.append(stranger.post("/rooms", data={"name": name}).headers["location"])
            stranger.post(f"/rooms/{room}/messages", data={"message": "hello"})
            cookie = {"Cookie": f"{COOKIE}={stranger.cookies[COOKIE]}"}
            strangers.enter_context(connect(f"ws://{patient.host}/ws/{room}", additional_headers=cookie))
        expect(bob.bodies).to_have_count(len(names))
        expect(bob.members).to_have_count(len(names) + 1)
        assert shown(bob, ".message__author") == names
        assert sorted(bob.members.all_text_contents()) == sorted([*names, "Bob"])
        assert bob.rooms.all_text_contents()[rooms_before:] == names
        assert bob.page.evaluate(DISPLACED) == []
        assert bob.page.evaluate(SKELETON) == skeleton
        witness.saw_nothing()
    for name, slug in list(zip(names, slugs, strict=True))[::8]:
        bob.page.goto(patient.url + slug)
        bob.is_connected()
        assert bob.page.locator("h1").text_content() == name
        assert bob.page.title() == " ".join(f"{name} · Parlor".split())
        witness.saw_nothing()


# What disturbs its neighbours without being markup

TOWERS = {
    "above": "\u0301" * 2000,
    "below": "\u0323" * 2000,
    "around": "\u0489\u20dd" * 500,
    "thai": "\u0e01" + "\u0e49" * 2000,
}


@pytest.mark.breaks("static/css/messages.css", "    overflow: clip;\n    padding", "    padding")
@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
def test_a_tower_of_marks_stays_in_its_message(cast: Cast, room: str, tower: str) -> None:
    """The messages before and after it look the same when it is hidden."""
    ann = cast.member("Ann").opens(room)
    ann.posts(room, "before", f"calm{tower}", "after")
    ann.reloads()
    expect(ann.bodies).to_have_count(3)
    before, body, after = ann.bodies.all()
    pictures = before.screenshot(), after.screenshot()
    body.evaluate("body => body.style.visibility = 'hidden'")
    assert (before.screenshot(), after.screenshot()) == pictures


@pytest.mark.breaks("static/css/messages.css", "unicode-bidi: isolate;", "")
def test_an_address_reads_from_left_to_right_after_any_text(cast: Cast, room: str) -> None:
    ann = cast.member("Ann").opens(room)
    ann.posts(room, "\u202e see http://example.org/path ok")
    ann.reads("\u202e see http://example.org/path ok")
    (places,) = ann.page.locator(".message__body a").evaluate_all(PLACES)
    assert places == sorted(places)


def test_a_direction_left_open_ends_with_its_message(cast: Cast, room: str) -> None:
    """In the names, the times and what others say, each character stands where it did before such messages."""
    ann, bob = cast.member("Ann").opens(room), cast.member("Bob")
    bob.posts(room, "one 12 (a)")
    ann.posts(room, "one 12 (a)", *(f"calm{control}" for control in DIRECTIONS))
    bob.posts(room, "one 12 (a)")
    ann.posts(room, "one 12 (a)")
    ann.reloads()
    heads = ann.page.locator(".message:not(.message--continuation)")
    expect(heads).to_have_count(4)
    places = heads.locator(".message__author, .message__time time, .message__body").evaluate_all(PLACES)
    assert places[6:] == places[:6]
