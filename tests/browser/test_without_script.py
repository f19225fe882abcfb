"""With JavaScript off, the same page reads and posts."""

import re

import pytest

from tests.browser.cast import Cast, Person, expect


def opens(person: Person, room: str) -> Person:
    """Open a room, without waiting for a connection that will never be."""
    return person.loads(lambda: person.page.goto(f"{person.url}/rooms/{room}"))


@pytest.mark.engines(soak=True, without="firefox")  # which answers no driver then
def test_reading_joining_and_writing_without_script(cast: Cast, room: str, bob: Person) -> None:
    bob.says("hello")
    vera = opens(cast.somebody(java_script_enabled=False), room).sees("hello")
    vera.joins_as("Vera").sees("hello")
    vera.writes("hello from long ago").page.locator("#composer .send:visible").click()
    vera.sees("hello", "hello from long ago")
    assert vera.page.url == f"{vera.url}/rooms/{room}"
    expect(vera.composer).to_have_value("")
    bob.sees("hello", "hello from long ago")


def test_subscribers_poll_after_a_reconnect(cast: Cast, room: str, bob: Person) -> None:
    bob.says("hello")
    vera = opens(cast.somebody(java_script_enabled=False), room).sees("hello")
    bob.says("hello again")
    # She has to look for what came since, and is told so.
    hint = vera.page.locator(".dock__noscript")
    expect(hint).to_contain_text("does not update by itself")
    hint.locator("a").click()
    vera.sees("hello", "hello again")


def test_one_signs_out(cast: Cast, room: str) -> None:
    wanda = opens(cast.somebody(java_script_enabled=False), room).joins_as("Wanda")
    wanda.page.locator(".account").click()
    wanda.page.get_by_role("button", name="Sign out", exact=True).click()
    expect(wanda.page.locator("#join")).to_be_visible()
    assert wanda.page.url == f"{wanda.url}/rooms/{room}"


def test_nothing_is_shown_that_only_works_with_script(cast: Cast, room: str) -> None:
    vera = opens(cast.member("Ann", java_script_enabled=False), room)
    expect(vera.status).to_be_hidden()
    expect(vera.page.locator("#composer .send:visible")).to_have_count(1)
    expect(vera.page.locator("#composer .send:visible")).to_be_enabled()


def test_refused_drafts_stay_in_the_composer(cast: Cast, room: str) -> None:
    text = "a long story " * 400
    vera = opens(cast.member("Ann", java_script_enabled=False).foresees("422"), room).writes(text)
    vera.page.locator("#composer .send:visible").click()
    expect(vera.notice).to_contain_text("too long")
    expect(vera.composer).to_have_value(text)
    vera.writes("a short story").page.locator("#composer .send:visible").click()
    vera.sees("a short story")
    expect(vera.notice).to_be_empty()


def test_older_messages_are_a_link_away_and_so_are_the_newest(cast: Cast, room: str) -> None:
    texts = [f"line {number}" for number in range(1, 121)]
    cast.member("Bob").posts(room, *texts)
    vera = opens(cast.somebody(java_script_enabled=False), room).sees(*texts[70:])
    vera.page.get_by_role("link", name="Older messages").click()
    vera.sees(*texts[20:70])
    vera.page.get_by_role("link", name="Older messages").click()
    vera.sees(*texts[:20])
    expect(vera.page.get_by_text(re.compile("This is where .* begins"))).to_be_visible()
    vera.page.locator(".newer a", has_text="Newest").click()
    vera.sees(*texts[70:])


def test_a_room_is_made(cast: Cast, room: str) -> None:
    vera = opens(cast.member("Ann", java_script_enabled=False), room)
    vera.page.locator(".rooms__new").click()
    vera.page.get_by_label("Room name").fill("By hand")
    vera.page.locator("#new-room button:visible").click()
    expect(vera.page.locator("h1")).to_have_text("By hand")
