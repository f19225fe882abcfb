"""Mentions, and who is typing."""

import pytest

from tests.browser.cast import Person, expect

GROUND = "element => getComputedStyle(element).backgroundColor"


def ground(person: Person, text: str) -> str:
    return str(person.message(text).locator(".message__body").evaluate(GROUND))


@pytest.mark.engines
def test_a_mention_is_announced_to_its_writer_and_highlighted_for_its_target(ann: Person, bob: Person) -> None:
    bob.composer.focus()
    bob.types("are you there, @an")
    expect(bob.page.locator(".draft__mentions:visible")).to_have_text("Mentions Ann.")
    bob.presses("Enter").has_receipt().says("or not?")
    ann.reads("are you there, @Ann").reads("or not?")
    expect(ann.message("are you there, @Ann").locator(".mention")).to_have_text("@Ann")
    assert ground(ann, "are you there, @Ann") != ground(ann, "or not?")
    assert ground(bob, "are you there, @Ann") == ground(bob, "or not?")


def test_the_line_goes_with_the_name_and_with_the_message(ann: Person, bob: Person) -> None:
    said = bob.page.locator("#drafts > :last-child > .draft__mentions")
    bob.composer.focus()
    bob.types("@zoe")
    expect(said).to_have_text("Nobody here is called @zoe.")
    bob.presses(*["Backspace"] * 3).types("ann")
    expect(said).to_have_text("Mentions Ann.")
    bob.presses(*["Backspace"] * 4).types("hello")
    expect(said).to_be_empty()
    bob.types(" @ann")
    expect(said).to_have_text("Mentions Ann.")
    bob.presses("Enter").has_receipt()
    expect(bob.page.locator(".draft__mentions:not(:empty)")).to_have_count(0)
    ann.reads("hello @Ann")


def test_a_mention_of_everybody_stands_out_for_everybody(ann: Person, bob: Person) -> None:
    ann.says("lunch", "@room, now")
    bob.reads("@room, now")
    for person in (ann, bob):
        assert ground(person, "@room, now") != ground(person, "lunch")


@pytest.mark.engines(soak=True)
def test_typing_is_shown_to_others_and_not_to_oneself(ann: Person, bob: Person) -> None:
    ann.composer.focus()
    ann.types("hel")
    typing = bob.page.locator("#typing span")
    expect(typing).to_have_text("Ann is typing…")
    expect(typing).to_be_visible()
    expect(ann.page.locator("#typing span")).to_have_count(1)
    expect(ann.page.locator("#typing span")).to_be_hidden()
    ann.types("lo\n").has_receipt()
    bob.reads("hello")
    expect(typing).to_have_count(0)


def test_typing_is_shown_for_six_seconds(ann: Person, bob: Person) -> None:
    ann.composer.focus()
    ann.types("h")
    typing = bob.page.locator("#typing span")
    expect(typing).to_be_visible()
    at = "(element, seconds) => element.getAnimations()[0].currentTime = seconds * 1000"
    typing.evaluate(at, 5.9)
    expect(typing).to_be_visible()
    typing.evaluate(at, 6)
    expect(typing).to_be_hidden()
