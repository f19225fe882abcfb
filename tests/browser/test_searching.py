"""Searching."""

import pytest

from tests.browser.cast import Person, expect


@pytest.mark.engines(soak=True)
def test_results_come_while_one_types_and_lead_to_the_message(ann: Person, bob: Person, room: str) -> None:
    ann.says("Tea at the market?", "重跑gen-itgc后")
    bob.reads("重跑gen-itgc后")
    bob.loads(lambda: bob.page.goto(f"{bob.url}/search"))
    field, results = bob.page.locator(".search__field"), bob.page.locator(".result")
    field.focus()
    bob.types(f"in:{room} mark")
    expect(results.locator("mark")).to_have_text("market")
    field.fill(f"in:{room} itgc")
    expect(results.locator("mark")).to_have_text("itgc")
    expect(field).to_have_value(f"in:{room} itgc")
    results.locator("a").click()
    bob.is_connected()
    expect(bob.message("重跑gen-itgc后")).to_be_visible()


def test_one_searches_from_a_room(ann: Person, bob: Person, room: str) -> None:
    ann.says("Tea at the market?")
    bob.reads("Tea at the market?").page.locator(".sidebar__search input").fill(f'in:{room} "the market"')
    bob.page.locator(".sidebar__search input").press("Enter")
    expect(bob.page.locator(".result mark")).to_have_text("the market")
    bob.page.locator(".search__order input[value=best]").click()
    bob.page.locator(".search__form button").click()
    expect(bob.page.locator(".search__order input[value=best]")).to_be_checked()
    expect(bob.page.locator(".result")).to_have_count(1)
