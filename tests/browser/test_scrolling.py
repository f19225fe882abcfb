"""The newest message stays in view, and nothing moves while somebody reads further up."""

import pytest

from tests.browser.cast import Cast, Person, expect

SETTLED = """element => new Promise(done => {
    let top = NaN
    const look = () => {
        if (element.scrollTop === top) return done(top)
        top = element.scrollTop
        requestAnimationFrame(() => requestAnimationFrame(look))
    }
    look()
})"""


def scroll(person: Person, by: int) -> float:
    """Turn the wheel over the messages, and return where that leads (0: the end; negative: above it)."""
    scroller = person.page.locator("#scroller")
    scroller.hover(position={"x": 300, "y": 100})
    person.page.mouse.wheel(0, by)
    position: float = scroller.evaluate(SETTLED)
    return position


def top_of(person: Person, text: str) -> float:
    """Where a message is, once the page has come to rest."""
    person.page.locator("#scroller").evaluate(SETTLED)
    box = person.message(text).bounding_box()
    assert box
    return box["y"]


def lines(first: int, last: int) -> list[str]:
    """Texts for messages."""
    return [f"line {number}" for number in range(first, last + 1)]


def test_the_newest_stays_in_view_at_the_end(ann: Person, bob: Person) -> None:
    for text in lines(1, 30):
        bob.says(text)
    ann.reads("line 30")
    expect(ann.message("line 30")).to_be_in_viewport(ratio=0.9)
    expect(ann.page.locator(".to-newest")).to_be_hidden()
    bob.says("a long one\n" * 12)
    expect(ann.page.locator(".message").last).to_be_in_viewport(ratio=0.9)
    ann.writes("a draft of\nseveral\nlines")
    expect(ann.page.locator(".message").last).to_be_in_viewport(ratio=0.9)


@pytest.mark.engines(soak=True)
def test_nothing_lies_between_the_newest_message_and_the_composer(ann: Person) -> None:
    ann.says("hello")
    newest, dock = ann.page.locator(".message").last.bounding_box(), ann.page.locator(".dock").bounding_box()
    assert newest and dock
    assert 0 <= dock["y"] - (newest["y"] + newest["height"]) <= 12


def test_a_scrolled_up_page_keeps_its_place(cast: Cast, room: str) -> None:
    bob = cast.member("Bob")
    bob.posts(room, *lines(1, 40))
    ann = cast.member("Ann").opens(room)
    expect(ann.page.locator(".to-newest")).to_be_hidden()
    assert scroll(ann, by=-700) < -300
    expect(ann.page.locator(".to-newest")).to_be_visible()
    before = top_of(ann, "line 22")
    expect(ann.message("line 22")).to_be_in_viewport()
    bob.posts(room, *lines(41, 45), "a long one\n" * 12)
    ann.reads("line 45")
    expect(ann.bodies).to_have_count(46)
    assert abs(top_of(ann, "line 22") - before) <= 1
    # Nor does it when one writes oneself, and what one wrote is a click away.
    ann.page.locator(".to-newest").click()
    expect(ann.page.locator(".message").last).to_be_in_viewport(ratio=0.9)
    expect(ann.page.locator(".to-newest")).to_be_hidden()
    top_of(ann, "line 45")
    bob.posts(room, "line 46")
    expect(ann.message("line 46")).to_be_in_viewport(ratio=0.9)


def test_the_way_down_works_again_and_again(cast: Cast, room: str) -> None:
    bob = cast.member("Bob")
    bob.posts(room, *lines(1, 40))
    ann = cast.member("Ann").opens(room)
    for text in lines(41, 43):
        assert scroll(ann, by=-700) < -300
        bob.posts(room, text)
        ann.reads(text)
        expect(ann.message(text)).not_to_be_in_viewport()
        ann.page.locator(".to-newest").click()
        expect(ann.message(text)).to_be_in_viewport(ratio=0.9)
        expect(ann.page.locator(".to-newest")).to_be_hidden()


@pytest.mark.engines(soak=True)
def test_one_reads_back_to_the_first_message(cast: Cast, room: str) -> None:
    texts = lines(1, 120)
    cast.member("Bob").posts(room, *texts)
    ann = cast.member("Ann").opens(room).reads_up_to(len(texts)).sees(*texts)
    assert [each.position for each in ann.messages()] == list(range(1, 121))
    assert [each.author for each in ann.messages()] == ["Bob"] + [None] * 119


def test_older_messages_load_as_one_scrolls_up_to_the_first(cast: Cast, room: str, ann: Person) -> None:
    """What has loaded piece by piece is what a page shows that was open all along, and what one of them is."""
    bob = cast.member("Bob")
    # Authors change every 7 messages: pages of 50 begin in the middle of a group, and where one begins.
    texts = lines(1, 133)
    for start in range(0, len(texts), 7):
        (bob if start // 7 % 2 else ann).posts(room, *texts[start : start + 7])
    ann.reads_up_to(len(texts)).sees(*texts)
    reader = cast.somebody()
    loaded: list[str] = []
    reader.page.on("response", lambda answer: loaded.append(answer.url) if "before=" in answer.url else None)
    reader.opens(room).sees(*texts[-50:])
    begin = reader.page.get_by_text("begins.")
    shown = 50
    while shown < len(texts):
        expect(begin).to_have_count(0)
        first = texts[-shown]
        reader.page.locator("#scroller").hover(position={"x": 300, "y": 100})
        reader.page.mouse.wheel(0, -100_000)
        shown = min(shown + 50, len(texts))
        reader.sees(*texts[-shown:])
        # What was on top stays in reach: older messages are above the window, not in its place.
        assert top_of(reader, first) > -1000
    expect(begin).to_have_count(1)
    assert len(loaded) == 2
    assert [each.position for each in reader.messages()] == list(range(1, 134))
    assert reader.messages() == ann.messages()
    bob.posts(room, "and on it goes")
    reader.reads("and on it goes")
    ann.reads("and on it goes")
    assert reader.messages() == ann.messages()


def test_an_open_page_keeps_the_newest_messages_and_reloads_older_ones(cast: Cast, room: str, ann: Person) -> None:
    bob = cast.member("Bob")
    bob.posts(room, *lines(1, 330))
    ann.reads("line 330")
    assert 100 <= ann.bodies.count() <= 125
    expect(ann.message("line 330")).to_be_in_viewport(ratio=0.9)
    first = ann.messages()[0]
    assert first.position > 200
    # Up there, what was forgotten loads again, and stays while somebody looks at it.
    ann.reads_up_to(330)
    ann.page.locator("#scroller").evaluate("element => element.scrollTo(0, -element.scrollHeight)")
    expect(ann.message("line 1")).to_be_in_viewport()
    bob.posts(room, *lines(331, 400))
    ann.reads("line 400")
    expect(ann.message("line 1")).to_be_in_viewport()
    assert [each.body for each in ann.messages()] == lines(1, 400)
    # Back at the newest, it is forgotten again, with the next messages.
    ann.page.locator(".to-newest").click()
    expect(ann.message("line 1")).to_have_count(0)
    bob.posts(room, *lines(401, 450))
    ann.reads("line 450")
    expect(ann.message("line 350")).to_have_count(0)
    assert [each.body for each in ann.messages()] == lines(351, 450)


def test_nothing_moves_when_older_messages_load(cast: Cast, room: str) -> None:
    cast.member("Bob").posts(room, *lines(1, 100))
    ann = cast.member("Ann").opens(room).sees(*lines(51, 100))
    height = ann.page.locator("#scroller").evaluate("element => element.scrollHeight - element.clientHeight")
    # Up to where the older ones begin to load, and not yet to the very top.
    scroll(ann, by=-int(height - 300))
    before = top_of(ann, "line 60")
    expect(ann.bodies).to_have_count(100)
    assert abs(top_of(ann, "line 60") - before) <= 1
