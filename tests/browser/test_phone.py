"""On a phone: everything fits, and fingers find it."""

from typing import Any

import pytest
from playwright.sync_api import Locator

from tests.browser.cast import Cast, Person, expect

PHONES: list[dict[str, Any]] = [
    {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    {"viewport": {"width": 320, "height": 568}, "has_touch": True, "is_mobile": True},
]
phones = pytest.mark.parametrize("phone", PHONES, ids=["390", "320"])
FINGER = 44  # CSS pixels


def fits(person: Person) -> None:
    """Nothing scrolls sideways, and the page itself not at all."""
    overflow = person.page.evaluate(
        """() => ["html", "body", "#scroller", ".dock", ".header"].filter(name => {
            const element = document.querySelector(name)
            return element && element.scrollWidth > element.clientWidth
        })"""
    )
    assert overflow == []
    assert person.page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def is_for_fingers(*targets: Locator) -> None:
    """These can be hit."""
    for target in targets:
        box = target.bounding_box()
        assert box, target
        assert box["height"] >= FINGER - 0.5, (target, box)
        assert box["width"] >= FINGER - 0.5, (target, box)


@phones
def test_joining(cast: Cast, room: str, phone: dict[str, Any]) -> None:
    nobody = cast.somebody(**phone).opens(room)
    fits(nobody)
    form = nobody.page.locator("#join")
    is_for_fingers(form.locator("input[name=name]"), form.locator("select").first, form.locator("button:visible"))
    form.locator("input[name=name]").fill("Polly " + str(phone["viewport"]["width"]))
    form.locator("button:visible").tap()
    nobody.is_connected()
    fits(nobody)


@pytest.mark.engines(soak=True)
@phones
def test_talking(cast: Cast, room: str, phone: dict[str, Any], bob: Person) -> None:
    ann = cast.member("Ann", **phone).opens(room)
    ann.taps(ann.composer).writes("from my phone").taps(ann.page.locator("#composer .send:visible")).has_receipt()
    bob.reads("from my phone").says("w" * 300, "several words " * 20)
    expect(ann.bodies).to_have_count(3)
    fits(ann)
    expect(ann.page.locator(".message").last).to_be_in_viewport()
    expect(ann.status).to_be_in_viewport(ratio=1)
    expect(ann.page.locator("h1")).to_be_in_viewport(ratio=1)


@phones
def test_controls_are_large_enough_for_fingers(cast: Cast, room: str, phone: dict[str, Any]) -> None:
    ann = cast.member("Ann", **phone).opens(room).writes("from my phone")
    is_for_fingers(
        ann.composer,
        ann.page.locator("#composer .send:visible"),
        ann.page.locator(".header__menu"),
        ann.page.locator(".account"),
    )


@pytest.mark.engines(soak=True, without="webkit")  # whose pointer is always a fine one
@phones
def test_enter_breaks_the_line_on_a_touch_keyboard(cast: Cast, room: str, phone: dict[str, Any]) -> None:
    ann = cast.member("Ann", **phone).opens(room)
    ann.taps(ann.composer).types("one\ntwo")
    expect(ann.composer).to_have_value("one\ntwo")
    ann.taps(ann.page.locator("#composer .send:visible")).has_receipt().sees("one\ntwo")
    ann.types("by keys").presses("Control+Enter").has_receipt().sees("one\ntwo", "by keys")


@phones
def test_the_menu_holds_rooms_and_members(cast: Cast, room: str, phone: dict[str, Any]) -> None:
    ann = cast.member("Ann", **phone).opens(room)
    sidebar = ann.page.locator("#sidebar")
    expect(sidebar).to_be_hidden()
    ann.page.get_by_role("button", name="Rooms and members").tap()
    expect(sidebar).to_be_visible()
    expect(ann.members).to_have_text(["Ann"])
    ann.page.locator(".rooms__new").tap()
    is_for_fingers(
        ann.rooms.first,
        ann.page.locator(".rooms__new"),
        ann.page.locator("#new-room input[name=name]"),
        ann.page.locator("#new-room button:visible"),
    )
    assert sidebar.evaluate("element => element.scrollWidth <= element.clientWidth")
    ann.rooms.filter(has_text="Lobby").tap()
    expect(ann.page.locator("h1")).to_have_text("Lobby")
    ann.is_connected()
    expect(sidebar).to_be_hidden()


@phones
def test_the_account_menu(cast: Cast, room: str, phone: dict[str, Any]) -> None:
    ann = cast.member("Ann", **phone).opens(room)
    ann.page.locator(".account").tap()
    form = ann.page.locator("#account .card__form").first
    expect(form).to_be_in_viewport(ratio=1)
    is_for_fingers(form.locator("input[name=name]"), form.locator("select").first, form.locator("button:visible"))
    fits(ann)
