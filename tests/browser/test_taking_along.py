"""What people take along: messages that they copy, and a room on paper."""

import pytest

from tests.browser.cast import Cast, Person, expect

# What is pasted as plain text, when all messages were selected and copied.
COPIED = """() => {
    getSelection().selectAllChildren(document.querySelector("#messages"))
    return getSelection().toString()
}"""


@pytest.mark.engines(soak=True)
def test_copied_messages_read_as_a_transcript(cast: Cast, room: str, bob: Person) -> None:
    ann = cast.member("Ann").opens(room).says("hello", "are you there?")
    ann.reads("are you there?")
    bob.says("yes")
    ann.reads("yes")
    hour = ann.message("hello").locator("time").inner_text()
    later = ann.message("yes").locator("time").inner_text()
    copied: str = ann.page.evaluate(COPIED)
    # Firefox leaves an empty line for the day, which is not copied, and WebKit ends with one.
    assert copied.strip("\n").split("\n") == [f"Ann {hour}", "hello", "are you there?", f"Bob {later}", "yes"]


def test_printing_shows_only_the_messages(cast: Cast, room: str, bob: Person) -> None:
    bob.posts(room, *(f"line {number}" for number in range(1, 9)))
    ann = cast.member("Ann", color_scheme="dark").opens(room)
    for address in ("", "?before=5"):
        ann.page.goto(f"{cast.url}/rooms/{room}{address}")
        expect(ann.bodies.first).to_be_visible()
        ann.page.emulate_media(media="print")
        for hidden in (".sidebar", "#composer", ".connection", ".account", ".older", ".way-down"):
            expect(ann.page.locator(hidden).first).to_be_hidden()
        for shown in ("h1", ".message__author", ".message__time", ".message__body"):
            expect(ann.page.locator(shown).first).to_be_visible()
        expect(ann.page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
        # All of it is on paper, not only what fits into a window.
        assert ann.page.locator("#scroller").evaluate("each => each.scrollHeight <= each.clientHeight")
        ann.page.emulate_media(media="screen")
