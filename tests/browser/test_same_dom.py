"""G2 in a real browser: a page that was live, one that dropped and came back, and one just loaded are the same."""

import random
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.cast import Person
from tests.browser.conftest import GENEROUS, Gather
from tests.normalise import normalise
from tests.profile import PROFILE
from tests.proxy import proxying
from tests.server import serving

SCRIPTS = 10 if PROFILE == "soak" else 3
STEPS = ("say", "say", "say", "drop", "return", "rename", "restart", "be away for long")
PARTS = (".messages > li", "#cursor", "#rooms", "#members")


@pytest.mark.breaks("app/rooms/resuming.py", "while position < audience.position:", "while False:")
@pytest.mark.parametrize("seed", range(SCRIPTS))
def test_live_resumed_and_reloaded_pages_are_the_same(gather: Gather, tmp_path: Path, seed: int) -> None:
    steps = random.Random(seed).choices(STEPS, k=8)  # noqa: S311
    with (
        serving(
            tmp_path,
            **GENEROUS,
            resume_limit=4,
            page_size=4,
            reconnect_delay=0.1,
            reconnect_max_delay=0.5,
        ) as server,
        proxying(server.port) as link,
    ):
        near = gather(server)
        # Ann looks on, Bob talks by HTTP alone: his page would reload with each new name.
        live, writer = near.member("Ann").opens(), near.member("Bob")
        away = gather(server, link.url).member("Cem").opens()
        said = 0
        for number, step in enumerate([*steps, "return"]):
            match step:
                case "say":
                    writer.posts("lobby", f"{number}: <b>said</b> & done")
                    said += 1
                case "be away for long":
                    link.cut()
                    away.finds_it("disconnected")
                    writer.posts("lobby", *(f"{number}: missed {place}" for place in range(11)))
                    said += 11
                case "drop":
                    link.cut()
                    away.finds_it("disconnected")
                case "return":
                    link.heal()
                    away.is_connected()
                case "rename":
                    answer = writer.context.request.post(f"{server.url}/name", form={"name": f"Bob {number}"})
                    assert answer.ok
                case "restart":
                    server.stop()
                    live.finds_it("disconnected")
                    server.start()
                    live.is_connected()
        fresh = near.member("Dan").opens()
        pages = (live, away, fresh)
        for person in pages:
            _complete(person, said)
            expect(person.members).to_have_text(["Ann", "Cem", "Dan"])
        shown = [[_show(person, part) for part in PARTS] for person in pages]
        assert shown[1] == shown[0], steps
        assert shown[2] == shown[0], steps


def _complete(person: Person, said: int) -> None:
    """Load on demand what the page says that it lacks."""
    gap = person.page.locator(".gap button")
    while gap.count():
        text = gap.first.inner_text()
        gap.first.click()
        expect(gap.filter(has_text=text)).to_have_count(0)
    person.reads_up_to(said)
    expect(person.bodies).to_have_count(said)


def _show(person: Person, selector: str) -> str:
    """Return the elements as they are now, without what htmx notes on them, and whether they were read out."""
    html: str = person.page.locator(selector).evaluate_all(
        """elements => elements.map(element => {
            const copy = element.cloneNode(true)
            copy.removeAttribute("aria-live")
            for (const each of [copy, ...copy.querySelectorAll("*")]) {
                for (const {name} of [...each.attributes]) if (name.startsWith("data-htmx")) each.removeAttribute(name)
            }
            return copy.outerHTML
        }).join("")"""
    )
    return normalise(html)
