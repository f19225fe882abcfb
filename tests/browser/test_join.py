"""A name first: without one people read along, with one they write."""

import re

import pytest
from playwright.sync_api import Locator

from tests.browser.cast import Cast, Person, expect

SENDS = ":is(.when-ready, .when-idle):visible"


def is_idle(form: Locator) -> None:
    """The form shows one button that sends it, and that is disabled."""
    expect(form.locator(SENDS)).to_have_count(1)
    expect(form.locator(SENDS)).to_be_disabled()


def is_ready(form: Locator) -> None:
    """The form shows one button that sends it, and that works."""
    expect(form.locator(SENDS)).to_have_count(1)
    expect(form.locator(SENDS)).to_be_enabled()


@pytest.mark.engines
def test_somebody_without_a_name_is_asked_for_it_and_reads_along(cast: Cast, room: str, bob: Person) -> None:
    bob.says("before")
    nobody = cast.somebody().opens(room).sees("before")
    form = nobody.page.locator("#join")
    expect(form.locator("input[name=name]")).to_be_visible()
    expect(form.locator("label").first).to_contain_text("What's your name?")
    expect(nobody.page.locator("#composer")).to_have_count(0)
    bob.says("live")
    nobody.sees("before", "live")
    expect(nobody.members).to_have_text(["Bob"])


def test_the_button_waits_for_a_name(cast: Cast, room: str) -> None:
    nobody = cast.somebody().opens(room)
    form, field = nobody.page.locator("#join"), nobody.page.locator("#join input[name=name]")
    is_idle(form)
    field.fill("   ")
    is_idle(form)
    field.fill("Nora")
    is_ready(form)
    field.fill("")
    is_idle(form)


@pytest.mark.engines(soak=True)
def test_a_name_is_kept_on_reload_in_another_tab_and_in_other_rooms(cast: Cast, room: str) -> None:
    dora = cast.somebody().opens(room).joins_as("Dora").is_connected()
    assert dora.page.url == f"{cast.url}/rooms/{room}"
    dora.says("I am Dora").reads("I am Dora")
    for each in (dora, dora.reloads(), dora.opens_another_tab(room)):
        assert each.messages()[0].author == "Dora"
        expect(each.page.locator(".account__name")).to_have_text("Dora")
        expect(each.page.locator("#join")).to_have_count(0)
    dora.opens("lobby").says("I am Dora here, too")


def test_a_name_that_is_in_use_is_refused_beside_the_form_and_kept_in_it(cast: Cast, room: str, bob: Person) -> None:
    bob.sees()
    nobody = cast.somebody().foresees("409").opens(room).joins_as(" bOB", "Asia/Tokyo")
    field = nobody.page.locator("#join input[name=name]")
    expect(nobody.page.locator("#join [role=alert]")).to_contain_text("is taken")
    expect(field).to_have_value(" bOB")
    expect(field).to_have_accessible_description(re.compile("is taken"))
    expect(nobody.page.locator("#join select")).to_have_value("Asia/Tokyo")
    nobody.is_connected().joins_as("Robert").is_connected().says("then Robert it is")
    bob.reads("then Robert it is")


def test_new_messages_have_the_new_name(cast: Cast, room: str, bob: Person) -> None:
    eve = cast.somebody().opens(room).joins_as("Eve").is_connected()
    eve.says("as Eve")
    eve.renames_to("Evelyn").is_connected()
    assert eve.page.url == f"{cast.url}/rooms/{room}"
    eve.says("as Evelyn").reads("as Evelyn")
    for person in (bob.reads("as Evelyn"), eve, bob.reloads()):
        assert [(each.author, each.body) for each in person.messages()] == [("Eve", "as Eve"), ("Evelyn", "as Evelyn")]
    expect(bob.members).to_have_text(["Bob", "Evelyn"])
    # Both are still one author: what is one's own stays marked as such.
    assert len({item.get_attribute("data-author") for item in bob.page.locator(".message").all()}) == 1


def test_a_name_that_is_taken_cannot_be_renamed_to(cast: Cast, room: str, bob: Person) -> None:
    bob.sees()
    fred = cast.somebody().foresees("409").opens(room).joins_as("Fred").is_connected().renames_to("Bob")
    expect(fred.page.locator("#account [role=alert]")).to_contain_text("is taken")
    expect(fred.page.locator("#account input[name=name]")).to_have_value("Bob")
    expect(fred.page.locator("#account input[name=name]")).to_be_focused()
    fred.page.get_by_role("button", name="Cancel").click()
    expect(fred.page.locator("#account")).to_be_hidden()
    fred.says("still Fred").reads("still Fred")
    assert fred.messages()[0].author == "Fred"


def test_times_are_shown_in_the_chosen_zone(cast: Cast, room: str, bob: Person) -> None:
    """Kathmandu is 5 hours and 45 minutes ahead of UTC, all year."""
    gita = cast.somebody().opens(room).joins_as("Gita", "Asia/Kathmandu").is_connected()
    gita.says("namaste")
    bob.reads("namaste")

    def minutes(person: Person) -> int:
        hours, minutes = person.message("namaste").locator("time").inner_text().split(":")
        return int(hours) * 60 + int(minutes)

    for person in (gita, gita.reloads()):
        assert (minutes(person) - minutes(bob)) % (24 * 60) == 5 * 60 + 45
    stamp = "time[datetime]"
    assert gita.message("namaste").locator(stamp).get_attribute("datetime") == bob.message("namaste").locator(
        stamp
    ).get_attribute("datetime")


def test_signing_out_reaches_other_windows(cast: Cast, room: str) -> None:
    gina = cast.somebody().opens(room).joins_as("Gina").is_connected()
    other = gina.page.context.new_page()
    other.goto(gina.page.url)
    expect(other.locator("#connection")).to_have_attribute("data-state", "connected")
    gina.page.locator(".account").click()
    gina.page.locator(".account__sign-out button").click()
    expect(gina.page.locator("#join")).to_be_visible()
    expect(other.locator("#notice")).to_contain_text("You signed out")
    expect(other.locator("#connection")).to_have_attribute("data-state", "connected")
    other.locator("#composer textarea").last.fill("still me?")
    other.keyboard.press("Enter")
    expect(other.locator("#notice")).to_contain_text("Choose a name first")
    expect(other.locator("#composer textarea").first).to_have_value("still me?")
