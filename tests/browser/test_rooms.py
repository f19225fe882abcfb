"""Rooms: making one, finding it, sharing it."""

import re

from playwright.sync_api import expect

from tests.browser.cast import Cast, Person
from tests.browser.test_join import is_idle, is_ready


def make(person: Person, name: str) -> str:
    """Make a room as people do, and return its slug."""
    person.page.locator(".rooms__new").click()
    form = person.page.locator("#new-room form")
    is_idle(form)
    form.get_by_label("Room name").fill(name)
    is_ready(form)
    form.locator("button:visible").click()
    expect(person.page.locator("h1")).to_have_text(name)
    return person.is_connected().page.url.rsplit("/", 1)[1]


def test_a_room_is_made_listed_shared_and_talked_in(ann: Person, bob: Person) -> None:
    assert make(ann, "Café of the Überfans") == "cafe-of-the-uberfans"
    # Bob, in another room, sees it without a reload, and so does who comes later.
    link = bob.rooms.filter(has_text="Café of the Überfans")
    expect(link).to_have_count(1)
    ann.says("anybody?")
    bob.sees()
    link.click()
    bob.is_connected().sees("anybody?").says("me!")
    ann.sees("anybody?", "me!")
    expect(bob.page.locator("#rooms [aria-current=page]")).to_have_text("Café of the Überfans")


def test_a_link_to_a_room_can_be_shared(cast: Cast, ann: Person, room: str) -> None:
    ann.says("come in")
    guest = cast.somebody()
    guest.page.goto(ann.page.url)
    guest.is_connected().sees("come in").joins_as("Guest").is_connected().says("thanks")
    assert guest.page.url == ann.page.url
    ann.sees("come in", "thanks")


def test_messages_stay_in_their_room(cast: Cast, ann: Person, bob: Person) -> None:
    lobby = cast.member("Lea").opens()
    lobby.page.goto(cast.url)
    lobby.is_connected()
    ann.says("for this room only")
    bob.reads("for this room only")
    lobby.says("in the lobby")
    ann.says("and this")
    ann.sees("for this room only", "and this")
    expect(lobby.bodies.filter(has_text="this room only")).to_have_count(0)
    expect(lobby.reloads().bodies.filter(has_text="this room only")).to_have_count(0)


def test_an_unknown_room_is_a_page_with_a_way_back(cast: Cast) -> None:
    person = cast.member("Ann").foresees("404")
    answer = person.page.goto(f"{cast.url}/rooms/no-such-room")
    assert answer
    assert answer.status == 404
    expect(person.page.get_by_role("heading")).to_have_text("Not Found")
    person.page.get_by_role("link", name=re.compile("lobby", re.IGNORECASE)).click()
    expect(person.page.locator("h1")).to_have_text("Lobby")
    person.is_connected()


def test_only_members_make_rooms(cast: Cast, room: str) -> None:
    expect(cast.somebody().opens(room).page.locator(".rooms__new")).to_have_count(0)
