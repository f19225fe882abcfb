"""Two people talk: what one writes, the other sees."""

import re

import pytest

from tests.browser.cast import Cast, Person, Shown, expect


@pytest.mark.engines(soak=True)
def test_messages_reach_both_people_at_once_and_in_order(ann: Person, bob: Person) -> None:
    ann.says("Hello Bob")
    bob.sees("Hello Bob").says("Hello Ann", "How are you?")
    ann.sees("Hello Bob", "Hello Ann", "How are you?").says("Fine")
    for person in (ann, bob):
        person.sees("Hello Bob", "Hello Ann", "How are you?", "Fine")
        assert [each.position for each in person.messages()] == [1, 2, 3, 4]


@pytest.mark.engines
def test_a_group_shows_its_author_once_and_another_author_ends_it(ann: Person, bob: Person) -> None:
    ann.says("one", "two")
    bob.reads("two").says("three")
    ann.reads("three").says("four")
    expected = [Shown(1, "Ann", "one"), Shown(2, None, "two"), Shown(3, "Bob", "three"), Shown(4, "Ann", "four")]
    for person in (ann, bob):
        person.reads("four")
        assert person.messages() == expected
        expect(person.message("one").locator(".message__avatar")).to_have_text("A")
        expect(person.message("two").locator(".message__avatar")).to_have_count(0)
        expect(person.message("two")).to_have_class(re.compile("message--continuation"))
    # A page loaded now is the same.
    assert ann.reloads().messages() == expected


def test_a_continuation_tells_its_time_to_the_pointer_and_to_the_keyboard(ann: Person) -> None:
    ann.says("one", "two", "three")
    first, second, third = (ann.message(text).locator(".message__time") for text in ("one", "two", "three"))
    expect(first).to_have_css("opacity", "1")
    expect(second).to_have_css("opacity", "0")
    ann.message("two").hover()
    expect(second).to_have_css("opacity", "1")
    ann.composer.hover()
    expect(second).to_have_css("opacity", "0")

    ann.message("one").locator(".message__pick").click()
    ann.presses("ArrowDown")
    expect(ann.message("two").locator("input")).to_be_focused()
    expect(second).to_have_css("opacity", "1")
    ann.presses("ArrowDown")
    expect(ann.message("three").locator("input")).to_be_focused()
    expect(third).to_have_css("opacity", "1")
    expect(second).to_have_css("opacity", "0")


def test_a_time_is_there_for_machines_too(ann: Person) -> None:
    ann.says("when")
    time = ann.message("when").locator("time")
    expect(time).to_have_attribute("datetime", re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$"))
    expect(time).to_have_text(re.compile(r"^\d{1,2}:\d\d"))


def test_a_web_address_becomes_a_link(ann: Person, bob: Person) -> None:
    ann.says("see https://example.org/a?b=1&c=2, or www.example.net")
    bob.reads("see https://example.org/a?b=1&c=2, or www.example.net")
    link, other = bob.bodies.locator("a").all()
    expect(link).to_have_text("https://example.org/a?b=1&c=2")
    expect(link).to_have_attribute("href", "https://example.org/a?b=1&c=2")
    expect(other).to_have_attribute("href", re.compile(r"^https?://www\.example\.net$"))
    for each in (link, other):
        expect(each).to_have_attribute("rel", "noopener nofollow ugc")
        expect(each).to_have_attribute("target", "_blank")


def test_markup_stays_text(ann: Person, bob: Person) -> None:
    hostile = """<b>bold</b> <script>document.title = "caught"</script> <img src=x onerror="document.title = 'oh'">"""
    ann.says(hostile)
    for person in (ann, bob.reads(hostile), bob.reloads()):
        body = person.message(hostile).locator(".message__body")
        expect(body).to_have_text(hostile)
        expect(body.locator("*")).to_have_count(0)
        expect(person.page).to_have_title(re.compile("Parlor$"))


def test_line_breaks_are_kept(ann: Person, bob: Person) -> None:
    ann.says("first line\nsecond line\n\n  fourth, indented")
    expect(bob.bodies).to_have_text("first line\nsecond line\n\n  fourth, indented", use_inner_text=True)
    assert bob.bodies.inner_text() == "first line\nsecond line\n\n  fourth, indented"


def test_long_words_and_lines_wrap_on_the_narrowest_phone(cast: Cast, room: str) -> None:
    ann = cast.member("Ann", viewport={"width": 320, "height": 568}).opens(room)
    ann.says("w" * 400, "a line of many words " * 30, "https://example.org/" + "path/" * 60)
    widths = ann.page.evaluate(
        """() => ["html", "body", "#scroller", "#messages", ".dock"].map(name => {
            const element = document.querySelector(name)
            return [name, element.scrollWidth - element.clientWidth]
        })"""
    )
    assert [name for name, overflow in widths if overflow > 0] == []
