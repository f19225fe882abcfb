"""Permalinks, and what can be done with a message over HTTP."""

import gc
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest
from cachetools import LRUCache
from fastapi.testclient import TestClient
from httpx2 import Response

from app.main import create_app
from app.settings import Settings
from tests.conftest import Clock
from tests.web.test_pages import bodies, join, one, say, soup


def post(client: TestClient, position: int, **form: str) -> Response:
    return client.post(f"/rooms/lobby/messages/{position}", data=form, follow_redirects=False)


def reactions(page: Response) -> list[str]:
    return [button.text for button in soup(page).select(".reaction__react")]


def test_a_permalink_shows_a_message_with_its_neighbours(settings: Settings) -> None:
    small = settings.model_copy(update={"page_size": 4, "messages_burst": 100})
    with TestClient(create_app(small, Clock())) as client:
        join(client)
        for number in range(1, 13):
            say(client, f"message {number}", key=f"k{number}")
        assert one(client.get("/"), "#message-12 .message__time")["href"] == "/rooms/lobby/12#message-12"
        page = client.get("/rooms/lobby/6")
        assert bodies(page) == [f"message {number}" for number in range(4, 9)]
        assert one(page, ".gap button")["value"] == "8-13"
        assert one(page, ".gap button").text == "Load 4 newer messages"
        assert str(one(page, "#cursor")["value"]).endswith(":12")
        assert one(page, "#older input[name=before]")["value"] == "4"
        newest = client.get("/rooms/lobby/12")
        assert bodies(newest) == ["message 10", "message 11", "message 12"]
        assert not soup(newest).select(".gap, .newer")


@pytest.mark.parametrize("address", ["/rooms/lobby/1", "/rooms/lobby/0", f"/rooms/lobby/{10**30}", "/rooms/none/1"])
def test_missing_messages_have_no_permalink(client: TestClient, address: str) -> None:
    assert client.get(address).status_code == 404


def test_an_author_sees_earlier_versions_of_an_edited_message(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    join(other, "Bob")
    say(client, "helo")
    answer = post(client, 1, edit="hello")
    assert (answer.status_code, answer.headers["location"]) == (303, "/rooms/lobby/1#message-1")
    page = client.get("/rooms/lobby/1")
    assert bodies(page) == ["hello"]
    assert one(page, ".message__edited")
    assert [each.text for each in soup(page).select(".versions__body")] == ["helo"]
    assert not soup(other.get("/rooms/lobby/1")).select(".versions")
    assert not soup(client.get("/rooms/lobby")).select(".versions")


def test_a_deleted_message_leaves_a_marker(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    say(client, "a secret")
    post(client, 1, edit="another secret")
    other.get("/rooms/lobby")  # cached
    assert post(client, 1, delete="yes").status_code == 303
    for reader in (client, other):
        page = reader.get("/rooms/lobby/1")
        assert "secret" not in page.text
        assert one(page, ".message__deleted").text == "This message was deleted."
        assert "secret" not in reader.get("/rooms/lobby").text


def test_a_reaction_is_put_there_and_taken_back(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    join(other, "Bob")
    say(client, "hello")
    post(client, 1, react="👍")
    post(other, 0, react="1 👍")  # as a chip sends it
    assert reactions(client.get("/")) == ["👍 2"]
    assert one(client.get("/"), ".reaction__by").text == "Ann, Bob"
    post(client, 1, unreact="👍")
    assert one(client.get("/"), ".reaction__by").text == "Bob"


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"edit": "mine"}, 403, "only your own"),
        ({"delete": "yes"}, 403, "only your own"),
        ({"react": "thumbs_up"}, 422, "no emoji"),
        ({"react": ""}, 422, "no emoji"),
        ({"edit": " "}, 422, "Write something"),
        ({"edit": "x" * 5000}, 422, "too long"),
        ({"react": "99 👍"}, 404, "does not exist"),
        ({}, 422, ""),
        ({"edit": "a", "react": "👍"}, 422, ""),
        ({"react": "x 👍"}, 422, ""),
        ({"pick": "-1", "delete": "yes"}, 422, ""),
    ],
)
def test_impossible_changes_are_refused_with_a_reason(
    client: TestClient, other: TestClient, form: dict[str, str], status: int, said: str
) -> None:
    join(client, "Ann")
    join(other, "Bob")
    say(client, "hello")
    answer = post(other, 1, **form)
    assert answer.status_code == status
    assert said in answer.text
    assert bodies(client.get("/")) == ["hello"]


def test_visitors_without_a_name_change_nothing(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    say(client, "hello")
    assert post(other, 1, react="👍").status_code == 403
    assert reactions(client.get("/")) == []


@pytest.mark.parametrize(
    ("query", "found"), [("rocket", "🚀"), ("THUMBS_UP", "👍"), ("pile of poo", "💩"), (":+1:", "👍")]
)
def test_emoji_are_found_by_name(client: TestClient, query: str, found: str) -> None:
    answer = client.get("/emoji", params={"q": query})
    assert one(answer, ".emoji__one")["value"] == found


def test_an_empty_search_returns_the_most_used_emoji(client: TestClient) -> None:
    values = [button["value"] for button in soup(client.get("/emoji")).select(".emoji__one")]
    assert values[:2] == ["👍", "❤️"]
    assert len(values) == len(set(values))
    assert "No emoji" in client.get("/emoji?q=qqqq").text
    assert client.get("/emoji", params={"q": "x" * 51}).status_code == 422


def texts_in(value: object, depth: int = 7) -> Iterator[str]:
    """Yield the texts that a cache holds, whatever they are part of."""
    if isinstance(value, bytes):
        yield value.decode()
    elif isinstance(value, str):
        yield value
    elif depth and not isinstance(value, type | ModuleType | FunctionType):
        for each in gc.get_referents(value):
            yield from texts_in(each, depth - 1)


@pytest.mark.breaks("app/rooms/delivering.py", "self._fragments.forget(room_id, deleted)", "pass")
@pytest.mark.breaks("app/rooms/delivering.py", "deleted)\n            self.on_deleted(room_id)", "deleted)")
def test_nothing_of_a_deleted_message_is_kept_in_a_cache(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    caches: list[object] = []

    def remember(cache: LRUCache[Any, Any], *args: Any, **named: Any) -> None:
        caches.append(cache)
        made(cache, *args, **named)

    made = LRUCache.__init__
    monkeypatch.setattr(LRUCache, "__init__", remember)
    app = create_app(settings, Clock())
    with TestClient(app) as client:
        nobody = TestClient(app)
        nobody.portal = client.portal
        join(client)
        say(client, "a secret https://example.org")
        for reader in (client, nobody):
            reader.get("/rooms/lobby")
        assert any("a secret" in text for cache in caches for text in texts_in(cache))
        post(client, 1, delete="yes")
        assert not any("a secret" in text for cache in caches for text in texts_in(cache))
