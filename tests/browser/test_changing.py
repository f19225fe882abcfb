"""What people do with messages: edit, delete, react, link to them."""

import re

import pytest
from playwright.sync_api import APIResponse, Route

from tests.browser.cast import Cast, Person, expect
from tests.browser.test_without_script import opens

THUMBS_UP = "👍"


@pytest.mark.engines
def test_an_edit_is_seen_by_both_and_stays(ann: Person, bob: Person) -> None:
    ann.says("helo", "the next one")
    bob.reads("helo")
    ann.edits("helo", "hello")
    for person in (ann, bob):
        person.sees("hello", "the next one")
        expect(person.message("hello").locator(".message__edited")).to_contain_text("edited")
    bob.reloads().sees("hello", "the next one")


@pytest.mark.engines(soak=True)
def test_after_an_edit_one_goes_on_writing(ann: Person, bob: Person) -> None:
    ann.says("helo")
    ann.writes("half a sen").edits("helo", "hello")
    ann.has_focus(ann.composer).types("tence\n").has_receipt()
    bob.sees("hello", "half a sentence")


@pytest.mark.engines
def test_a_deleted_message_leaves_a_marker(ann: Person, bob: Person) -> None:
    ann.says("a secret", "no secret")
    bob.reads("a secret").reacts("a secret", THUMBS_UP)
    expect(ann.reactions("a secret")).to_have_count(1)
    ann.deletes("a secret")
    for person in (ann, bob):
        person.sees("no secret")
        expect(person.page.locator(".message__deleted")).to_have_count(1)
        expect(person.page.locator(".reaction")).to_have_count(0)
    assert "a secret" not in bob.reloads().page.locator("body").inner_text()


@pytest.mark.engines
def test_a_reaction_is_counted_and_ones_own_is_marked(ann: Person, bob: Person) -> None:
    ann.says("lunch?")
    bob.reads("lunch?").reacts("lunch?", THUMBS_UP)
    expect(ann.reactions("lunch?")).to_have_text(f"{THUMBS_UP} 1")
    ann.reactions("lunch?").click()  # joins in
    for person in (ann, bob):
        expect(person.reactions("lunch?")).to_have_text(f"{THUMBS_UP} 2")
        expect(person.reactions("lunch?")).to_have_attribute("aria-pressed", "true")
    bob.reactions("lunch?").click()  # takes it back
    expect(ann.reactions("lunch?")).to_have_text(f"{THUMBS_UP} 1")
    expect(bob.reactions("lunch?")).to_have_attribute("aria-pressed", "false")
    assert bob.reloads().reactions("lunch?").inner_text() == f"{THUMBS_UP} 1"


@pytest.mark.engines
def test_a_reply_quotes_its_original_and_follows_its_changes(ann: Person, bob: Person) -> None:
    ann.says("shall we?", "now")
    bob.reads("now").picks("shall we?").locator("[name=reply]").click()
    expect(bob.page.locator(".draft__quote")).to_contain_text("shall we?")
    bob.says("yes")
    expect(bob.page.locator(".draft__quote:visible")).to_have_count(0)
    bob.says("let's go")
    for person in (ann, bob):
        expect(person.message("yes").locator(".message__quote")).to_have_text("Ann shall we?")
        expect(person.message("let's go").locator(".message__quote")).to_have_count(0)
    ann.edits("shall we?", "shall we go?")
    expect(bob.message("yes").locator(".message__quote")).to_have_text("Ann shall we go?")
    ann.deletes("shall we go?")
    expect(bob.message("yes").locator(".message__quote")).to_have_text("Ann deleted message")
    expect(bob.reloads().message("yes").locator(".message__quote")).to_have_text("Ann deleted message")


def test_a_reply_can_be_let_be(ann: Person, bob: Person) -> None:
    ann.says("shall we?")
    bob.reads("shall we?").writes("no,").picks("shall we?").locator("[name=reply]").click()
    bob.page.locator(".draft__unreply").click()
    expect(bob.page.locator(".draft__quote")).to_have_count(0)
    expect(bob.composer).to_have_value("no,")
    bob.says("no")
    ann.reads("no")
    expect(ann.page.locator(".message__quote")).to_have_count(0)


def test_reactors_are_shown_on_hover_and_focus(ann: Person, bob: Person) -> None:
    ann.says("lunch?").reacts("lunch?", THUMBS_UP)
    bob.reads("lunch?").reacts("lunch?", THUMBS_UP)
    who = bob.message("lunch?").locator(".reaction__by")
    expect(who).to_be_hidden()
    bob.reactions("lunch?").hover()
    expect(who).to_have_text("Ann, Bob")
    bob.composer.hover()
    expect(who).to_be_hidden()
    bob.reactions("lunch?").focus()
    expect(who).to_be_visible()


def test_an_emoji_is_found_by_its_name(ann: Person, bob: Person) -> None:
    ann.says("we launch")
    bob.reads("we launch").picks("we launch").locator("[popovertarget=emoji]").click()
    picker = bob.page.locator("#emoji")
    expect(picker.locator(".emoji__one").first).to_be_visible()
    picker.locator("input").fill("rock")
    expect(picker.get_by_role("button", name="rocket")).to_be_visible()
    picker.get_by_role("button", name="rocket").click()
    expect(ann.reactions("we launch")).to_have_text("🚀 1")
    expect(picker).to_be_hidden()


def test_only_ones_own_messages_can_be_edited_and_deleted(ann: Person, bob: Person) -> None:
    ann.says("hers")
    bob.reads("hers").says("his")
    toolbar = bob.picks("hers")
    expect(toolbar.locator(".actions__own:visible")).to_have_count(0)
    expect(bob.picks("his").locator(".actions__own:visible")).to_have_count(2)


@pytest.mark.engines(soak=True)
def test_arrow_up_in_an_empty_composer_edits_ones_last_message(ann: Person, bob: Person) -> None:
    ann.says("one", "two")
    bob.reads("two").says("three")
    ann.reads("three").composer.press("ArrowUp")
    expect(ann.editor).to_have_value("two")
    ann.has_focus(ann.editor).presses("Escape")
    expect(ann.editor).to_have_count(0)
    ann.writes("half a sentence")
    ann.edits("two", "2")
    # What stood in the composer stands there still.
    expect(ann.composer).to_have_value("half a sentence")
    ann.composer.press("ArrowUp")
    bob.sees("one", "2", "three")
    expect(ann.editor).to_have_count(0)


def test_an_edit_that_is_refused_stays_where_it_is(ann: Person) -> None:
    ann.says("short")
    ann.picks("short").locator("[name=editor]").click()
    ann.editor.fill("x" * 5_000)
    ann.editor.press("Enter")
    expect(ann.notice).to_contain_text("too long")
    expect(ann.editor).to_have_value("x" * 5_000)
    ann.editor.fill("long enough")
    ann.editor.press("Enter")
    ann.sees("long enough")


def test_a_question_that_is_answered_with_no_deletes_nothing(ann: Person) -> None:
    ann.says("hello")
    ann.picks("hello").locator("[popovertarget=delete]").click()
    ann.page.locator("#delete").get_by_role("button", name="Cancel").click()
    expect(ann.page.locator("#delete")).to_be_hidden()
    ann.reloads().sees("hello")


@pytest.mark.engines(soak=True)
def test_arrow_keys_go_from_message_to_message_and_escape_lets_go(ann: Person) -> None:
    ann.says("one", "two")
    toolbar = ann.picks("one")
    ann.presses("ArrowDown")
    expect(ann.message("two").locator(".message__pick input")).to_be_checked()
    expect(toolbar).to_be_visible()
    ann.presses("Escape")
    expect(toolbar).to_be_hidden()


@pytest.mark.engines(soak=True, without="webkit")  # whose pointer is always a fine one
def test_on_a_phone_the_toolbar_is_a_row_that_a_finger_hits(cast: Cast, room: str) -> None:
    ann = cast.member("Ann", viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True).opens(room)
    ann.posts(room, "hello").reads("hello")
    toolbar = ann.picks("hello")
    composer = ann.page.locator("#composer").bounding_box()
    row = toolbar.bounding_box()
    assert composer and row
    assert row["x"] >= 0
    width = ann.page.evaluate("innerWidth")
    assert row["x"] + row["width"] <= width
    assert row["y"] + row["height"] <= composer["y"]
    for button in toolbar.locator("button:visible").all():
        box = button.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 44
        assert box["x"] + box["width"] <= width


def test_a_changed_message_stays_picked_and_unfolded(ann: Person, bob: Person) -> None:
    ann.says("\n".join(f"line {number}" for number in range(30)))
    more = bob.page.locator(".message__more")
    expect(bob.page.locator(".message__body")).to_contain_text("line 29")
    more.locator("summary").click()
    bob.page.locator(".message__pick").click()
    ann.page.locator(".message__pick").click()
    ann.page.locator(f"#actions [value='{THUMBS_UP}']").click()
    expect(bob.page.locator(".reaction")).to_have_count(1)
    expect(more).to_have_attribute("open", "")
    expect(bob.page.locator(".message__pick input")).to_be_checked()


@pytest.mark.engines(soak=True)
def test_a_permalink_leads_to_a_message_and_the_room_goes_on_from_there(ann: Person, bob: Person, room: str) -> None:
    ann.posts(room, *(f"message {number}" for number in range(1, 121)))
    bob.loads(lambda: bob.page.goto(f"{bob.url}/rooms/{room}/30#message-30")).is_connected()
    expect(bob.message("message 30")).to_be_visible()
    assert bob.page.evaluate("document.querySelector(':target').id") == "message-30"
    ann.says("news")
    bob.reads("news").reads("message 6").reads("message 54")
    expect(bob.message("message 56")).to_have_count(0)
    bob.page.locator(".gap button").press("Enter")
    bob.reads("message 120")
    ann.edits("news", "more news")
    bob.reads("more news")
    bob.message("message 54").locator(".message__time").click()
    bob.is_connected()
    expect(bob.message("message 54")).to_be_visible()
    assert bob.page.url.endswith("/54#message-54")


@pytest.mark.breaks("templates/partials/recheck.html", 'hx-trigger="load"', 'hx-trigger="never"')
def test_older_messages_that_come_late_show_what_changed_meanwhile(ann: Person, bob: Person, room: str) -> None:
    """The answer was made before the edit, and arrives after the frame with it."""
    ann.posts(room, *(f"message {number}" for number in range(1, 71)))
    held: list[tuple[Route, APIResponse]] = []
    bob.page.route(re.compile(r"/messages\?before"), lambda route: held.append((route, route.fetch())))
    bob.opens(room)
    bob.page.locator("#scroller").evaluate("element => element.scrollTo(0, -element.scrollHeight)")
    while not held:
        bob.page.wait_for_timeout(20)
    route, answer = held[0]
    ann.context.request.post(f"{ann.url}/rooms/{room}/messages/5", form={"edit": "edited"})
    ann.says("afterwards")
    bob.reads("afterwards")
    assert "message 5<" in answer.text()
    route.fulfill(response=answer)
    bob.reads("edited")
    expect(bob.message("message 5")).to_have_count(0)


def test_without_script_the_same_is_done_on_the_page_of_the_message(cast: Cast, room: str, bob: Person) -> None:
    vera = opens(cast.member("Ann", java_script_enabled=False), room)
    bob.opens(room)
    vera.posts(room, "helo")
    opens(vera, room).message("helo").locator(".message__time").click()
    vera.page.locator(".about [name=edit]").fill("hello")
    vera.page.locator(".about").get_by_role("button", name="Save").click()
    bob.sees("hello")
    vera.page.locator(f".about [value='{THUMBS_UP}']").click()
    expect(bob.reactions("hello")).to_have_text(f"{THUMBS_UP} 1")
    vera.page.locator(".versions summary").click()
    expect(vera.page.locator(".versions__body")).to_have_text("helo")
    vera.page.locator(".about").get_by_role("button", name="Delete").click()
    expect(bob.page.locator(".message__deleted")).to_have_count(1)
    expect(vera.page.locator(".about")).to_have_count(0)


def test_visitors_without_a_name_see_reactions_and_add_none(cast: Cast, room: str, ann: Person) -> None:
    ann.says("hello").reacts("hello", THUMBS_UP)
    guest = cast.somebody().opens(room)
    expect(guest.reactions("hello")).to_have_text(f"{THUMBS_UP} 1")
    expect(guest.page.locator(".message__pick:visible")).to_have_count(0)
