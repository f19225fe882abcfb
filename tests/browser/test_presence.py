"""Presence; two tabs of one person are one person."""

from playwright.sync_api import expect

from tests.browser.cast import Cast, Person


def test_two_tabs_of_one_person_show_the_same(ann: Person, bob: Person, room: str) -> None:
    tab = ann.opens_another_tab(room)
    ann.says("from the first")
    tab.sees("from the first").says("from the second")
    bob.reads("from the second").says("hello, both of you")
    for each in (ann, tab, bob):
        each.sees("from the first", "from the second", "hello, both of you")
    assert ann.messages() == tab.messages() == bob.messages()
    # In the list, one entry.
    for each in (ann, tab, bob):
        expect(each.members).to_have_text(["Ann", "Bob"])
        expect(each.member_count).to_have_text("2")
    tab.page.close()
    ann.says("still here")
    bob.reads("still here")
    expect(bob.member_count).to_have_text("2")


def test_the_list_marks_oneself(ann: Person, bob: Person) -> None:
    expect(ann.members).to_have_text(["Ann", "Bob"])
    expect(ann.page.locator("#members li", has_text="Ann").locator(".members__you")).to_be_visible()
    expect(ann.page.locator("#members li", has_text="Bob").locator(".members__you")).to_be_hidden()


def test_the_count_stays_through_a_reload_and_falls_when_somebody_leaves(ann: Person, bob: Person) -> None:
    expect(bob.member_count).to_have_text("2")
    bob.page.evaluate(
        """() => {
            window.counts = []
            new MutationObserver(() => window.counts.push(document.querySelector(".members__count").textContent))
                .observe(document.querySelector("#chat"), {subtree: true, childList: true})
        }"""
    )
    ann.reloads().says("back again")
    bob.reads("back again")
    expect(bob.member_count).to_have_text("2")
    assert set(bob.page.evaluate("window.counts")) <= {"2"}
    ann.page.close()
    expect(bob.member_count).to_have_text("1")
    expect(bob.members).to_have_text(["Bob"])


def test_readers_without_a_name_are_not_listed(cast: Cast, room: str, ann: Person) -> None:
    cast.somebody().opens(room)
    expect(ann.members).to_have_text(["Ann"])
    expect(ann.member_count).to_have_text("1")
