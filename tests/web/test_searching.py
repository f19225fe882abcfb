"""The search page."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.main import create_app
from app.settings import Settings
from tests.conftest import Clock
from tests.web.test_pages import join, say, soup


def search(client: TestClient, query: str, **fields: Any) -> Response:
    return client.get("/search", params={"q": query, **fields})


def texts(page: Response) -> list[str]:
    return [each.text for each in soup(page).select(".result__text")]


def notice(page: Response) -> str:
    return " ".join(each.text for each in soup(page).select(".results__none"))


@pytest.fixture
def talk(client: TestClient, other: TestClient) -> TestClient:
    """Ann and Bob have said something in two rooms; Ann's browser."""
    join(client, "Ann Lee")
    join(other, "Bob")
    client.post("/rooms", data={"name": "Tea & Co"})
    for number, (browser, room, body) in enumerate(
        [
            (client, "lobby", "tea at noon"),
            (other, "lobby", "no tea for <b>me</b>"),
            (other, "tea-co", "tea, tea, tea"),
        ]
    ):
        browser.post(f"/rooms/{room}/messages", data={"message": body, "key": f"k{number}"})
    return client


def test_a_result_leads_to_its_message_and_marks_the_hits(talk: TestClient) -> None:
    page = search(talk, "tea noon")
    (link,) = soup(page).select(".result__link")
    assert link["href"] == "/rooms/lobby/1#message-1"
    assert [hit.text for hit in link.select("mark")] == ["tea", "noon"]
    assert "Ann Lee in Lobby" in link.text
    assert talk.get(str(link["href"])).status_code == 200


def test_results_are_the_newest_or_the_best_first(talk: TestClient) -> None:
    assert texts(search(talk, "tea")) == ["tea, tea, tea", "no tea for <b>me</b>", "tea at noon"]
    assert texts(search(talk, "tea", by="best"))[0] == "tea, tea, tea"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tea from:bob", ["tea, tea, tea", "no tea for <b>me</b>"]),
        ('tea from:"ann lee"', ["tea at noon"]),
        ("tea from:an", ["tea at noon"]),
        ("tea from:me", ["tea at noon"]),
        ("in:tea-co", ["tea, tea, tea"]),
        ('tea in:"Tea & Co"', ["tea, tea, tea"]),
        ("tea before:2026-01-01", []),
        ("tea after:2026-01-01", ["tea, tea, tea", "no tea for <b>me</b>", "tea at noon"]),
    ],
)
def test_results_are_filtered(talk: TestClient, query: str, expected: list[str]) -> None:
    assert texts(search(talk, query)) == expected


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("nothing", "Nothing was found."),
        ("tea from:zoe", "Nobody is called “zoe”."),
        ("tea in:nowhere", "There is no room called “nowhere”."),
        ("from:\0", "Nobody is called “\ufffd”."),
        ("after:9999-12-31", "Write a date as year, month and day: 2026-11-29."),
        ("after:2999-12-31", "Nothing was found."),
        ("before:soon", "Write a date as year, month and day: 2026-11-29."),
    ],
)
def test_a_search_without_results_says_why(talk: TestClient, query: str, sentence: str) -> None:
    assert notice(search(talk, query)) == sentence


def test_days_begin_at_midnight_where_the_reader_is(settings: Settings) -> None:
    clock = Clock()  # at 14:05 in UTC
    with TestClient(create_app(settings, clock)) as client:
        client.post("/name", data={"name": "Ann", "time_zone": "Pacific/Auckland"})
        say(client, "tea", key="k")
        there = (clock.now.date().toordinal() + 1, clock.now.date().toordinal() + 2)
        today, tomorrow = (clock.now.date().fromordinal(day).isoformat() for day in there)
        assert texts(search(client, f"tea before:{tomorrow}")) == ["tea"]
        assert texts(search(client, f"tea before:{today}")) == []
        assert texts(search(client, f"tea after:{today}")) == []


def test_older_results_are_on_the_next_page(settings: Settings) -> None:
    generous = settings.model_copy(update={"messages_burst": 100})
    with TestClient(create_app(generous, Clock())) as client:
        join(client)
        for number in range(35):
            say(client, f"tea {number}", key=f"k{number}")
        page = search(client, "tea")
        assert texts(page)[::29] == ["tea 34", "tea 5"]
        (older,) = soup(page).select(".results__more a")
        assert texts(client.get(str(older["href"]))) == [f"tea {number}" for number in (4, 3, 2, 1, 0)]


def test_mentions_of_oneself_and_of_everybody_in_ones_rooms_are_listed(talk: TestClient, other: TestClient) -> None:
    bodies = ("hello @ann", "hello @bob", "hello @room", "@an again")
    for number, body in enumerate(bodies):
        other.post("/rooms/lobby/messages", data={"message": body, "key": f"m{number}"})
    other.post("/rooms/tea-co/messages", data={"message": "@room of others", "key": "r"})  # Ann has said nothing there
    talk.post("/rooms/lobby/messages/1", data={"edit": "tea, @ann lee?"})
    page = talk.get("/mentions")
    assert texts(page) == ["@an again", "hello @room", "hello @ann", "tea, @ann lee?"]
    assert texts(search(talk, "mentions:bob")) == ["@room of others", "hello @room", "hello @bob"]
    assert texts(search(talk, "mentions:me again")) == ["@an again"]
    talk.post("/rooms/lobby/messages/1", data={"edit": "tea?"})
    assert "tea?" not in texts(talk.get("/mentions"))


def test_results_alone_come_while_one_types(talk: TestClient) -> None:
    answer = talk.get("/search/results", params={"q": "noo"})
    assert [each.get("id") for each in soup(answer).find_all(True, recursive=False)] == ["results"]
    assert texts(answer) == ["tea at noon"]


def test_an_empty_search_shows_what_can_be_searched_for(client: TestClient) -> None:
    assert soup(search(client, "")).select(".results__help dt")
    assert notice(search(client, "?!")) == "Nothing was found."


@pytest.mark.parametrize("fields", [{"q": "x" * 201}, {"q": "x", "by": "chance"}, {"q": "x", "before": "0"}])
def test_a_search_that_cannot_be_is_refused(client: TestClient, fields: dict[str, str]) -> None:
    assert client.get("/search", params=fields).status_code == 422


def test_edits_deletions_and_removed_rooms_are_followed(talk: TestClient) -> None:
    talk.post("/rooms/lobby/messages/1", data={"edit": "coffee at noon"})
    assert texts(search(talk, "noon tea")) == []
    assert texts(search(talk, "coffee")) == ["coffee at noon"]
    talk.post("/rooms/lobby/messages/1", data={"delete": "yes"})
    assert texts(search(talk, "coffee")) == []
