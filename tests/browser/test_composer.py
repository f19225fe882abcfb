"""The composer: what sends, what does not, and that no text is ever lost."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.browser.cast import Cast, Person, expect
from tests.browser.conftest import Gather
from tests.browser.test_join import is_idle, is_ready
from tests.proxy import Proxy, proxying
from tests.server import Server, serving


@pytest.fixture
def link(server: Server) -> Iterator[Proxy]:
    """A link to the shared server that can be slow."""
    with proxying(server.port) as proxy:
        yield proxy


@pytest.mark.engines(soak=True)
def test_enter_sends_and_shift_enter_breaks_the_line(ann: Person, bob: Person) -> None:
    ann.composer.focus()
    ann.types("one").presses("Shift+Enter").types("two").presses("Enter").has_receipt().reads("one\ntwo")
    assert [each.body for each in ann.messages()] == ["one\ntwo"]
    bob.reads("one\ntwo")
    # Empty, and ready for the next.
    expect(ann.composer).to_be_focused()
    ann.types("three\n").has_receipt().reads("three")
    assert [each.body for each in ann.messages()] == ["one\ntwo", "three"]


def test_the_enter_of_an_input_method_neither_sends_nor_breaks_the_line(ann: Person, bob: Person) -> None:
    ann.composer.focus()
    devtools = ann.context.new_cdp_session(ann.page)
    devtools.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    ann.composer.evaluate("element => element.addEventListener('keydown', event => window.pressed = event)")
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    devtools.send("Input.insertText", {"text": "日本"})
    devtools.send("Input.dispatchKeyEvent", {"type": "keyUp", **enter})
    assert ann.page.evaluate("[pressed.key, pressed.isComposing, pressed.defaultPrevented]") == ["Enter", True, False]
    expect(ann.composer).to_have_value("日本")
    ann.types("go\n").has_receipt()
    bob.sees("日本go")


@pytest.mark.breaks("templates/partials/composer.html", "&amp;&amp;keyCode!=229", "")
def test_the_enter_that_comes_after_its_composition_sends_nothing(ann: Person, bob: Person) -> None:
    """Safari: it is no part of a composition any more, and no Enter of the writer's, either."""
    ann.composer.focus()
    devtools = ann.context.new_cdp_session(ann.page)
    devtools.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    devtools.send("Input.insertText", {"text": "日本"})
    ann.composer.evaluate("element => element.addEventListener('keydown', event => window.pressed = event)")
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    devtools.send("Input.dispatchKeyEvent", {"type": "keyUp", **enter})
    pressed = ann.page.evaluate("[pressed.key, pressed.isComposing, pressed.keyCode, pressed.defaultPrevented]")
    assert pressed == ["Enter", False, 229, False]
    expect(ann.composer).to_have_value("日本")
    ann.types("go\n").has_receipt()
    bob.sees("日本go")


def test_the_button_sends(ann: Person, bob: Person) -> None:
    ann.writes("by the button").page.locator("#composer button.when-ready").click()
    ann.has_receipt()
    bob.sees("by the button")


def test_the_button_waits_for_text_and_for_a_connection(
    ann: Person, cast: Cast, room: str, gather: Gather, server: Server, link: Proxy
) -> None:
    form = ann.page.locator("#composer")
    is_idle(form)
    ann.writes("something")
    is_ready(form)
    ann.writes("")
    is_idle(form)
    far = gather(server, link.url).member("Far Ann").opens(room).writes("something")
    is_ready(far.page.locator("#composer"))
    link.cut()
    far.finds_it("disconnected")
    is_idle(far.page.locator("#composer"))
    link.heal()
    far.is_connected()
    is_ready(far.page.locator("#composer"))


def test_the_composer_grows_with_its_text_up_to_a_limit(ann: Person) -> None:
    def height(lines: int) -> float:
        ann.writes("\n".join(["line"] * lines))
        box = ann.composer.bounding_box()
        assert box
        return box["height"]

    one, three, many, more = height(1), height(3), height(60), height(120)
    assert one < three < many == more <= 400
    assert ann.composer.evaluate("element => element.scrollHeight > element.clientHeight")
    # The messages are still there to see.
    assert ann.page.locator("#scroller").evaluate("element => element.clientHeight") > 200


def test_the_enter_key_is_a_choice_per_browser(cast: Cast, room: str) -> None:
    def chooses(person: Person, choice: str) -> None:
        person.page.locator(".account").click()
        person.page.locator("#account select[name=enter]").select_option(choice)
        person.page.locator("#account button.when-ready").click()
        person.is_connected()
        expect(person.page.locator("#account select[name=enter]")).to_have_value(choice)

    desk = cast.somebody().opens(room).joins_as("Enterer").is_connected()
    chooses(desk, "line")
    desk.composer.focus()
    desk.types("one\ntwo")
    expect(desk.composer).to_have_value("one\ntwo")
    desk.presses("Control+Enter").has_receipt().sees("one\ntwo")
    chooses(desk, "")
    desk.composer.focus()
    desk.types("three\n").has_receipt().sees("one\ntwo", "three")
    phone = cast.somebody(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}).opens(room)
    phone.joins_as("Tapper").is_connected()
    chooses(phone, "send")
    phone.composer.tap()
    phone.types("four\n").has_receipt().reads("four")


@pytest.mark.parametrize("blank", ["", "   ", "\n\n", "\u200b"], ids=["empty", "spaces", "lines", "invisible"])
def test_blank_is_not_sent(ann: Person, bob: Person, blank: str) -> None:
    ann.writes(blank).composer.press("Enter")
    expect(ann.notice).to_have_text("Write something first.")
    expect(ann.drafts).to_have_count(1)
    ann.says("not blank")
    expect(ann.notice).to_be_empty()
    bob.sees("not blank")


def test_a_too_long_draft_stays_with_the_reason_until_shortened(ann: Person, bob: Person) -> None:
    text = "a long story " * 400
    ann.writes(text).composer.press("Enter")
    expect(ann.notice).to_contain_text("too long")
    expect(ann.notice).to_contain_text("4,000")
    refused = ann.drafts.first
    expect(refused.locator("textarea")).to_have_value(text)
    expect(refused.locator("output")).to_have_text("Not sent")
    # Others can be sent meanwhile, and take nothing of it away.
    ann.writes("something short").composer.press("Enter")
    bob.reads("something short")
    expect(refused.locator("textarea")).to_have_value(text)
    ann.mends(refused, "a short story")
    bob.sees("something short", "a short story")
    ann.has_receipt()
    expect(ann.notice).to_be_empty()


def test_a_far_too_long_draft_stays_and_blocks_nothing(gather: Gather, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        ann = gather(server).member("Ann").opens()
        text = "a whole book " * 3_500
        ann.writes(text).composer.press("Enter")
        expect(ann.notice).to_contain_text("too long")
        ann.writes("something short").composer.press("Enter")
        ann.sees("something short")
        server.kill()
        ann.finds_it("disconnected")
        server.start()
        ann.is_connected()
        assert ann.drafts.first.locator("textarea").input_value() == text
        expect(ann.drafts.first.locator("output")).to_have_text("Not sent")
        ann.writes("and again").composer.press("Enter")
        ann.sees("something short", "and again")


def test_the_longest_message_goes(ann: Person, bob: Person) -> None:
    ann.says("y" * 4000)
    bob.sees("y" * 4000)


def test_too_fast_is_refused_and_the_text_kept(gather: Gather, tmp_path: Path) -> None:
    with serving(tmp_path, messages_burst=2, messages_per_second=0.2) as server:
        ann, bob = gather(server).member("Ann").opens(), gather(server).member("Bob").opens()
        ann.says("one", "two").writes("three").composer.press("Enter")
        expect(ann.notice).to_contain_text("too fast")
        refused = ann.drafts.first.locator("textarea")
        expect(refused).to_have_value("three")
        bob.sees("one", "two").says("it is my turn")
        # As it says there: wait, and send it again.
        for _ in range(20):
            refused.press("Enter")
            with suppress(AssertionError):
                expect(ann.message("three")).to_have_count(1, timeout=500)
                break
        ann.has_receipt()
        bob.sees("one", "two", "it is my turn", "three")


@pytest.mark.breaks("templates/partials/composer.html", '<input type="hidden" name="open" value="yes">', "")
@pytest.mark.breaks("templates/partials/wiring.html", 'hx-trigger="htmx:after:swap"', 'hx-trigger="never"')
@pytest.mark.parametrize("slowness", [1, 6], ids=["fast processor", "slow processor"])
@pytest.mark.parametrize("delay", [0.0, 0.4], ids=["near", "far"])
def test_fast_typing_arrives_whole_and_in_order(
    gather: Gather, server: Server, link: Proxy, room: str, bob: Person, slowness: int, delay: float
) -> None:
    """Before the fresh draft is there, a whole message may be typed; receipts come while the next are being written."""
    ann = gather(server, link.url).member("Far Ann").opens(room)
    link.delay = delay
    ann.context.new_cdp_session(ann.page).send("Emulation.setCPUThrottlingRate", {"rate": slowness})
    ann.composer.focus()
    lines = ["the first one", "ho", "ho", "ho", "and then the last"]
    ann.types("\n".join(lines) + "\n").has_receipt()
    for person in (ann, bob):
        person.sees(*lines)
    expect(ann.composer).to_be_focused()


def test_keys_before_the_fresh_draft_belong_to_the_next_message(ann: Person, bob: Person) -> None:
    """However long that takes, however many keys it are, and wherever in the text they land."""
    ann.page.evaluate(
        """() => {
            const fetched = window.fetch
            const shown = new Promise(resolve => window.showFreshDraft = resolve)
            window.fetch = (...all) => shown.then(() => fetched(...all))
        }"""
    )
    ann.writes("to and fro").composer.focus()
    ann.presses("ArrowLeft", "ArrowLeft", "ArrowLeft").types("\na")
    bob.reads("to and fro")
    expect(ann.composer).to_have_value("to and afro")
    ann.page.evaluate("showFreshDraft()")
    expect(ann.drafts).to_have_count(2)
    expect(ann.composer).to_be_focused()
    ann.types("ll")
    expect(ann.drafts.first.locator("textarea")).to_have_value("to and afro")
    ann.types("\n").has_receipt()
    bob.sees("to and fro", "all")


@pytest.mark.engines
def test_typing_is_not_disturbed_by_receipts(
    gather: Gather, server: Server, link: Proxy, room: str, bob: Person
) -> None:
    ann = gather(server, link.url).member("Far Ann").opens(room)
    link.delay = 0.2
    ann.composer.focus()
    sentences = [f"sentence number {number} of a fast typist" for number in range(1, 6)]
    ann.types("\n".join(sentences) + "\n")
    expect(ann.composer).to_have_value("")
    ann.types("unsent")
    for person in (ann, bob):
        person.sees(*sentences)
    expect(ann.drafts).to_have_count(1)
    expect(ann.composer).to_have_value("unsent")
    expect(ann.composer).to_be_focused()


def test_incoming_messages_do_not_disturb_a_draft(ann: Person, bob: Person) -> None:
    ann.composer.focus()
    ann.types("half a sen")
    ann.presses("ArrowLeft", "ArrowLeft", "ArrowLeft")
    bob.says("hello")
    ann.reads("hello").types("-").presses("End").types("tence\n").has_receipt()
    bob.sees("hello", "half a -sentence")


def test_the_same_text_twice_on_purpose_is_two_messages(ann: Person, bob: Person) -> None:
    ann.says("ha", "ha")
    bob.sees("ha", "ha")
    ann.types("ho\nho\nho\n").has_receipt()
    bob.sees("ha", "ha", "ho", "ho", "ho")


def test_a_double_click_sends_once(ann: Person, bob: Person) -> None:
    ann.writes("once").page.locator("#composer button.when-ready").dblclick()
    ann.has_receipt().says("after")
    bob.sees("once", "after")
