"""With the keyboard alone: every way leads somewhere, and the focus can always be seen."""

from playwright.sync_api import Locator, expect

from tests.browser.cast import Cast, Person

# The element with the focus, or what draws the outline for it: the composer does for its draft.
FOCUS_IS_VISIBLE = """() => {
    for (let each = document.activeElement; each && each !== document.body; each = each.parentElement) {
        const style = getComputedStyle(each)
        if (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) return true
        if (each.matches("form, main, aside, header")) break
    }
    return false
}"""


def tabs_to(person: Person, target: Locator, key: str = "Tab") -> None:
    """Press Tab until `target` has the focus; on the way, every stop shows that it has it."""
    for _ in range(60):
        person.presses(key)
        stop = person.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        if stop.startswith("<body"):
            continue  # past the last stop, the browser's own buttons come
        assert person.page.evaluate(FOCUS_IS_VISIBLE), f"the focus cannot be seen on {stop}"
        if target.evaluate_all("elements => elements.includes(document.activeElement)"):
            return
    raise AssertionError(f"{target} cannot be reached; the last stop was {stop}")


def test_from_a_name_to_a_message_to_a_room(cast: Cast, room: str, bob: Person) -> None:
    karl = cast.somebody().opens(room)
    karl.page.locator("body").evaluate("element => element.focus()")
    tabs_to(karl, karl.page.locator("#join input[name=name]"))
    karl.types("Karl")
    tabs_to(karl, karl.page.locator("#join button.when-ready"))
    karl.presses("Enter")
    expect(karl.page.locator("#composer")).to_have_count(1)
    karl.is_connected()
    # The composer takes the focus by itself.
    expect(karl.composer).to_be_focused()
    karl.types("no mouse\n").has_receipt()
    bob.sees("no mouse").says("well done")
    karl.types("by the button")
    tabs_to(karl, karl.page.locator("#composer button.when-ready"))
    karl.presses("Space").has_receipt()
    bob.sees("no mouse", "well done", "by the button")
    expect(karl.composer).to_be_focused()

    tabs_to(karl, karl.page.locator(".rooms__new"))
    karl.presses("Enter")
    expect(karl.page.get_by_label("Room name")).to_be_focused()
    karl.types("Keyboards").presses("Enter")
    expect(karl.page.locator("h1")).to_have_text("Keyboards")
    karl.is_connected().types("first\n").has_receipt()
    karl.sees("first")


def test_the_skip_link_leads_to_the_composer(ann: Person) -> None:
    skip = ann.page.locator(".skip")
    tabs_to(ann, skip)
    expect(skip).to_be_in_viewport(ratio=1)
    ann.presses("Enter", "Tab")
    expect(ann.composer).to_be_focused()


def test_the_account_menu_and_the_zone(cast: Cast, room: str) -> None:
    mona = cast.somebody().opens(room).joins_as("Mona").is_connected()
    tabs_to(mona, mona.page.locator(".account"))
    mona.presses("Enter")
    expect(mona.page.locator("#account input[name=name]")).to_be_focused()
    mona.presses("Control+a").types("Monika")
    tabs_to(mona, mona.page.locator("#account select[name=time_zone]"))
    mona.types("Europe/Berlin")
    tabs_to(mona, mona.page.locator("#account button.when-ready"))
    mona.presses("Enter")
    expect(mona.page.locator(".account__name")).to_have_text("Monika")
    expect(mona.page.locator("#account select[name=time_zone]")).to_have_value("Europe/Berlin")


def test_dialogs_take_the_focus_and_give_it_back(cast: Cast, room: str) -> None:
    ann = cast.member("Ann").opens(room)
    phone = cast.member("Bob", viewport={"width": 390, "height": 844}).opens(room)
    for person, way, first in (
        (ann, ".rooms__new", "#new-room input[name=name]"),
        (ann, ".account", "#account input[name=name]"),
        (phone, ".header__menu", ".sidebar__close"),
    ):
        opens, inside = person.page.locator(way), person.page.locator(first)
        opens.focus()
        person.presses("Enter")
        expect(inside).to_be_focused()
        person.presses("Escape")
        expect(inside).to_be_hidden()
        expect(opens).to_be_focused()
    # After a refusal the page comes with it open, and Escape closes it as well.
    ann.foresees("409").renames_to("Bob")
    expect(ann.page.locator("#account input[name=name]")).to_be_focused()
    ann.presses("Escape")
    expect(ann.page.locator("#account")).to_be_hidden()


def test_messages_scroll_with_the_keyboard(cast: Cast, room: str) -> None:
    cast.member("Bob").posts(room, *(f"line {number}" for number in range(1, 121)))
    ann = cast.member("Ann").opens(room)
    ann.page.locator("#scroller").focus()
    for count in (100, 120):
        ann.presses("Home")
        expect(ann.bodies).to_have_count(count)
    ann.presses("Home")
    expect(ann.message("line 1")).to_be_in_viewport()
    ann.presses("End")
    expect(ann.message("line 120")).to_be_in_viewport()


def test_the_menu_of_a_phone_opens_and_closes_with_keys(cast: Cast, room: str) -> None:
    ann = cast.member("Ann", viewport={"width": 390, "height": 844}).opens(room)
    sidebar = ann.page.locator("#sidebar")
    tabs_to(ann, ann.page.locator(".header__menu"), key="Shift+Tab")
    ann.presses("Enter")
    expect(sidebar).to_be_visible()
    tabs_to(ann, ann.rooms.first)
    ann.presses("Escape")
    expect(sidebar).to_be_hidden()
    expect(ann.page.locator(".header__menu")).to_be_focused()
