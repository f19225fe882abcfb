"""HTTP: what a browser is told that has a page already. RFC 9110, 13.1.2 and 15.4.5; RFC 9111, 4.3.4."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from tempfile import TemporaryDirectory

import pytest
from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from httpx2 import Response
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.main import create_app
from app.settings import Settings
from tests.conftest import Clock
from tests.web.test_pages import join, say
from tests.web.test_sockets import browser

NONCE = re.compile(r"'nonce-([^']+)'")


def nonce(answer: Response) -> str:
    """Return the nonce of an answer's policy."""
    found = NONCE.search(answer.headers["content-security-policy"])
    assert found
    return found[1]


def without_nonce(answer: Response) -> str:
    return answer.text.replace(nonce(answer), "NONCE")


def again(client: TestClient, address: str, answer: Response) -> Response:
    """Ask for what `answer` brought, as a browser does that has it."""
    return client.get(address, headers={"If-None-Match": answer.headers["etag"]})


@pytest.fixture
def history(client: TestClient, other: TestClient) -> None:
    """Somebody else has said something."""
    join(other)
    for number in range(3):
        say(other, f"message {number}")


ADDRESSES = ["/", "/rooms/lobby", "/?before=3", "/rooms/lobby/messages?before=3", "/rooms/lobby/gap?between=1-3"]


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.breaks("app/web/responses.py", 'is_among(shown.etag, request.headers.get("If-None-Match", ""))', "False")
def test_an_unchanged_page_is_not_modified(client: TestClient, address: str) -> None:
    page = client.get(address)
    assert (page.status_code, page.headers["vary"]) == (200, "Cookie")
    unchanged = again(client, address, page)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    for name in ("cache-control", "etag", "vary"):
        assert unchanged.headers[name] == page.headers[name]
    assert client.head(address, headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    assert client.get(address, headers={"If-None-Match": 'W/"other"'}).status_code == 200


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.breaks("app/web/security.py", 'if message["status"] != HTTPStatus.NOT_MODIFIED:', "if True:")
def test_a_not_modified_page_keeps_its_policy_and_nonce(client: TestClient, address: str) -> None:
    unchanged = again(client, address, client.get(address))
    assert "content-security-policy" not in unchanged.headers


@pytest.mark.usefixtures("history")
def test_each_answer_has_a_nonce_of_its_own_and_no_other(client: TestClient) -> None:
    first, second = client.get("/"), client.get("/")
    assert nonce(first) != nonce(second) and first.headers["etag"] == second.headers["etag"]
    for page in (first, second):
        found = {
            str(each[name])
            for name in ("nonce", "hx-nonce")
            for each in BeautifulSoup(page.text, "html.parser").select(f"[{name}]")
        }
        assert found == {nonce(page)}


def test_a_text_that_resembles_the_nonce_placeholder_stays_text(client: TestClient, other: TestClient) -> None:
    join(other, "<nonce>")
    say(other, "<nonce>")
    page = client.get("/")
    assert "&lt;nonce&gt;" in page.text
    assert nonce(page) not in BeautifulSoup(page.text, "html.parser").get_text()


def test_older_parts_are_a_members_too_and_by_their_zone(client: TestClient, other: TestClient, history: None) -> None:
    address = "/rooms/lobby/messages?before=3"
    join(client, "Bob", time_zone="Asia/Tokyo")
    older = client.get(address)
    assert again(client, address, older).status_code == 304
    assert again(other, address, older).status_code == 200


def test_a_lost_name_is_reported_until_another_is_chosen(client: TestClient) -> None:
    page = client.get("/")
    client.cookies.set("parlor_member", "nonsense")
    lost = again(client, "/", page)
    assert lost.status_code == 200 and "Your session in this browser has ended" in lost.text
    assert 'parlor_member=""' in lost.headers["set-cookie"]
    client.cookies.clear()
    assert again(client, "/", page).status_code == 304


def test_a_refusal_is_nobodys_page_but_theirs(client: TestClient) -> None:
    page = client.get("/")
    refused = client.post("/name", data={"name": " "}, headers={"If-None-Match": page.headers["etag"]})
    assert (refused.status_code, refused.headers["vary"]) == (422, "*")
    assert "etag" not in refused.headers
    assert again(client, "/", page).status_code == 304


# Whatever happens, a page that is said to be the same is the same, and it shows what there is.

HAPPENINGS = ["say", "say in Tea", "rename", "make a room", "arrive", "nothing"]


class World:
    """A chat with one member, Ann, to whom things happen, and a reader without a name."""

    def __init__(self, stack: ExitStack) -> None:
        folder = stack.enter_context(TemporaryDirectory())
        settings = Settings(data_dir=folder, allowed_hosts=("testserver",), page_size=3)
        self.reader = stack.enter_context(TestClient(create_app(settings, Clock())))
        self.ann = TestClient(self.reader.app)
        self.ann.portal = self.reader.portal
        self.numbers = count(1)
        self.stack = stack
        join(self.ann, "Ann")
        self.ann.post("/rooms", data={"name": "Tea"})
        self.name, self.rooms, self.here = "Ann", ["Lobby", "Tea"], set[str]()
        self.said: dict[str, list[str]] = {"lobby": [], "tea": []}

    def let(self, happening: str) -> None:
        """Let it happen."""
        number = next(self.numbers)
        match happening:
            case "say" | "say in Tea":
                slug = "tea" if "Tea" in happening else "lobby"
                say(self.ann, f"message {number}", slug)
                self.said[slug].append(f"message {number}")
            case "rename":
                self.name = f"Ann {number}"
                join(self.ann, self.name)
            case "make a room":
                self.ann.post("/rooms", data={"name": f"Room {number}"})
                self.rooms.append(f"Room {number}")
            case "arrive":
                self.stack.enter_context(browser(self.ann, "tea")).resume()
                self.here.add("tea")

    def check(self, slug: str, page: Response) -> None:
        """The page shows what there is."""
        soup = BeautifulSoup(page.text, "html.parser")
        assert [body.text for body in soup.select(".message__body")] == self.said[slug][-3:]
        assert [link.text for link in soup.select("#rooms a")] == self.rooms
        assert [name.text for name in soup.select("#members bdi")] == [self.name] * (slug in self.here)


@pytest.mark.breaks("app/html/etags.py", "kept is None or kept[0] != view", "kept is None")
@hypothesis_settings(max_examples=8)
@given(st.lists(st.sampled_from(HAPPENINGS), min_size=1, max_size=8))
def test_a_page_that_is_said_to_be_the_same_is_the_same(happenings: Sequence[str]) -> None:
    with ExitStack() as stack:
        world = World(stack)
        seen: dict[str, str] = {}
        for happening in happenings:
            world.let(happening)
            for slug in world.said:
                page = world.reader.get(f"/rooms/{slug}", headers={"If-None-Match": ",".join(seen)})
                if page.status_code == 304:
                    page = world.reader.get(f"/rooms/{slug}")
                    assert page.headers["etag"] in seen
                else:
                    assert without_nonce(page) not in seen.values()
                assert seen.setdefault(page.headers["etag"], without_nonce(page)) == without_nonce(page)
                world.check(slug, page)
