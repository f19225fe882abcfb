"""HTTP: what somebody's browser gets, with and without script."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from bs4.element import Tag
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from app.main import create_app
from app.settings import SQLITE_FILE, Settings
from app.web.cookies import COOKIE, HOST_COOKIE
from app.web.health import LEAST_FREE
from tests.conftest import Clock

WIDE_ANN = "\N{FULLWIDTH LATIN CAPITAL LETTER A}\N{FULLWIDTH LATIN CAPITAL LETTER N}" + "n"


def soup(response: Response) -> BeautifulSoup:
    return BeautifulSoup(response.text, "html.parser")


def one(response: Response, selector: str) -> Tag:
    (found,) = soup(response).select(selector)
    return found


def join(client: TestClient, name: str = "Ann", **fields: str) -> Response:
    return client.post("/name", data={"name": name, **fields})


def say(client: TestClient, text: str, slug: str = "lobby", **fields: str) -> Response:
    return client.post(f"/rooms/{slug}/messages", data={"message": text, **fields})


def bodies(response: Response) -> list[str]:
    return [body.text for body in soup(response).select(".message__body")]


# Reading


def test_the_lobby_is_there_from_the_start(client: TestClient) -> None:
    assert one(client.get("/"), "h1").text == "Lobby"
    assert client.get("/rooms/lobby").status_code == 200


def test_visitors_without_a_name_are_asked_for_one_and_can_read(client: TestClient, other: TestClient) -> None:
    join(other)
    say(other, "hello")
    page = client.get("/")
    assert one(page, "#join input[name=name]")
    assert not soup(page).select("#composer")
    assert bodies(page) == ["hello"]


def test_an_unknown_room_is_a_page_with_a_way_back(client: TestClient) -> None:
    answer = client.get("/rooms/nowhere")
    assert answer.status_code == 404
    assert one(answer, "a[href='/']")


@pytest.mark.breaks("app/web/pages.py", "Query(ge=1, le=NEWEST)", "Query(ge=1)")
@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/rooms/lobby?before=0", 422),
        ("GET", "/rooms/lobby?before=x", 422),
        ("GET", "/rooms/lobby/messages", 422),
        ("GET", f"/rooms/lobby/messages?before={10**30}", 422),
        ("GET", "/rooms/lobby/gap?between=5-5", 422),
        ("GET", "/rooms/lobby/gap?between=9-5", 422),
        ("GET", "/rooms/lobby/gap?between=<script>", 422),
        ("POST", "/", 405),
        ("POST", "/rooms/nowhere/messages", 404),
    ],
)
def test_a_bad_request_gets_a_page_that_says_so(client: TestClient, method: str, address: str, status: int) -> None:
    answer = client.request(method, address)
    assert answer.status_code == status
    assert one(answer, ".error__status").text == str(status)


def test_a_page_shows_the_newest_messages_and_leads_to_older_ones(app: FastAPI, settings: Settings) -> None:
    small = settings.model_copy(update={"page_size": 5, "messages_burst": 100})
    with TestClient(create_app(small, Clock())) as client:
        join(client)
        for number in range(1, 13):
            say(client, f"message {number}", key=f"k{number}")
        page = client.get("/")
        assert bodies(page) == [f"message {number}" for number in range(8, 13)]
        # The first of the page continues the one before it, which stands on another page.
        assert "message--continuation" in one(page, "#message-8")["class"]
        assert one(page, "#older [hx-get]")["hx-get"] == "/rooms/lobby/messages"
        assert one(page, "#older input[name=before]")["value"] == "8"
        without_script = client.get(str(one(page, "#older a")["href"]))
        assert bodies(without_script) == [f"message {number}" for number in range(3, 8)]
        newer, newest = soup(without_script).select(".newer a")
        assert (newer["href"], newest["href"]) == ("/rooms/lobby/7#message-7", "/rooms/lobby")
        loaded = client.get("/rooms/lobby/messages?before=8")
        assert bodies(loaded) == [f"message {number}" for number in range(3, 8)]
        first = client.get("/rooms/lobby/messages?before=3")
        assert bodies(first) == ["message 1", "message 2"]
        assert "begins" in one(first, ".older").text


def test_a_gap_is_filled_from_its_newest_end(settings: Settings) -> None:
    small = settings.model_copy(update={"page_size": 3, "messages_burst": 100})
    with TestClient(create_app(small, Clock())) as client:
        join(client)
        for number in range(1, 11):
            say(client, f"message {number}", key=f"k{number}")
        part = client.get("/rooms/lobby/gap?between=2-9")
        assert bodies(part) == ["message 6", "message 7", "message 8"]
        assert one(part, "#gap-2 button")["value"] == "2-6"
        rest = client.get("/rooms/lobby/gap?between=2-6")
        assert bodies(rest) == ["message 3", "message 4", "message 5"]
        assert not soup(rest).select(".gap")


def test_pages_answer_to_head(client: TestClient) -> None:
    assert client.head("/").status_code == 200


def test_members_get_pages_with_unique_keys(client: TestClient) -> None:
    join(client)
    page, again = client.get("/"), client.get("/")
    assert page.headers["vary"] == "*" and "etag" not in page.headers
    assert one(page, "#keys input:first-child")["value"] != one(again, "#keys input:first-child")["value"]


# Becoming a member


def test_a_name_makes_a_member_and_leads_back_to_the_room(client: TestClient) -> None:
    answer = client.post("/name", data={"name": "  Ann  "}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/rooms/lobby")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
    assert one(client.get("/"), ".account__name").text == "Ann"


def test_the_cookie_stays_on_https(app: FastAPI) -> None:
    with TestClient(app, base_url="https://testserver") as client:
        assert "Secure" in client.post("/name", data={"name": "Ann"}, follow_redirects=False).headers["set-cookie"]


def test_a_taken_name_is_refused_and_stays_in_the_form(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    answer = join(other, WIDE_ANN)
    assert answer.status_code == 409
    assert one(answer, "#join input[name=name]")["value"] == WIDE_ANN
    assert "taken" in one(answer, "#name-refused").text


def test_a_name_that_looks_like_one_that_is_taken_is_refused_and_called_so(
    client: TestClient, other: TestClient
) -> None:
    join(client, "Ann")
    answer = join(other, "\N{CYRILLIC CAPITAL LETTER A}nn")
    assert answer.status_code == 409
    assert "looks too much like one that is taken" in one(answer, "#name-refused").text


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "\u202eeve", "a\u200bb"])
def test_a_name_that_cannot_be_is_refused(client: TestClient, name: str) -> None:
    answer = join(client, name)
    assert answer.status_code == 422
    assert one(answer, "#name-refused").text.strip()


def test_renaming_holds_the_old_name(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    join(client, "Anna")
    assert one(client.get("/"), ".account__name").text == "Anna"
    assert join(other, "Ann").status_code == 409
    assert join(client, "Ann").status_code == 200


@pytest.mark.breaks("app/rooms/creating.py", "if is_reserved(name, self._settings.title):", "if False:")
@pytest.mark.parametrize("name", ["System", "MODERATOR", "p\N{CYRILLIC SMALL LETTER A}rlor", "- admin -", "Tea House"])
def test_a_name_that_speaks_for_the_chat_is_nobodys(settings: Settings, name: str) -> None:
    with TestClient(create_app(settings.model_copy(update={"title": "Tea House"}), Clock())) as client:
        answer = join(client, name)
    assert answer.status_code == 409
    assert "is reserved" in one(answer, "#name-refused").text


def test_a_name_that_somebody_has_already_costs_no_other_session(client: TestClient) -> None:
    join(client, "Ann")
    cookie = client.cookies[COOKIE]
    assert join(client, "Ann").status_code == 200
    client.cookies.set(COOKIE, cookie)
    assert one(client.get("/"), "#composer")


# Signing out


def sign_out(client: TestClient, **headers: str) -> Response:
    return client.post("/sign-out", data={"room": "lobby"}, headers=headers)


def test_signing_out_invalidates_every_copy_of_the_cookie(client: TestClient, other: TestClient) -> None:
    join(client)
    assert one(client.get("/"), "form[action='/sign-out'] button").text == "Sign out"
    other.cookies.set(COOKIE, client.cookies[COOKIE])
    assert one(other.get("/"), "#composer")
    assert one(sign_out(client), "#join")
    assert COOKIE not in client.cookies
    assert say(other, "as Ann").status_code == 403
    assert one(sign_out(other), "#join")  # again, by the copy: nothing happens
    assert join(client, "Ann").status_code == 409  # it is held


def test_no_other_site_signs_anybody_out(client: TestClient) -> None:
    join(client)
    assert sign_out(client, Origin="http://evil.test").status_code == 403
    assert one(client.get("/"), "#composer")


def test_an_unavailable_store_signs_nobody_out(client: TestClient, broken_store: Callable[[], None]) -> None:
    join(client)
    client.get("/")
    broken_store()
    assert sign_out(client).status_code == 503
    assert COOKIE in client.cookies


@pytest.mark.breaks("app/chat/messages.py", " and known.session == self.session", "")
def test_a_cookie_from_before_a_renaming_stays_nobodys_when_the_name_is_the_same_again(
    client: TestClient, other: TestClient
) -> None:
    join(client, "Ann")
    other.cookies.set(COOKIE, client.cookies[COOKIE])
    join(client, "Ann2")
    join(client, "Ann")
    assert one(other.get("/"), "#join")
    assert one(client.get("/"), "#composer")


# Under HTTPS


def secure(app: FastAPI, client: TestClient) -> TestClient:
    browser = TestClient(app, base_url="https://testserver")
    browser.portal = client.portal
    return browser


def test_https_cookies_have_the_host_prefix(app: FastAPI, client: TestClient) -> None:
    browser = secure(app, client)
    cookie = browser.post("/name", data={"name": "Ann"}, follow_redirects=False).headers["set-cookie"]
    assert cookie.startswith(f"{HOST_COOKIE}=") and "; Secure" in cookie and "; Path=/" in cookie
    assert "Domain" not in cookie
    ended = sign_out(browser).history[0].headers["set-cookie"]
    assert ended.startswith(f'{HOST_COOKIE}=""') and "Max-Age=0" in ended and "; Secure" in ended


def test_https_takes_over_cookies_without_the_prefix(app: FastAPI, client: TestClient) -> None:
    join(client)
    browser = secure(app, client)
    browser.cookies.set(COOKIE, client.cookies[COOKIE])
    assert one(browser.get("/"), ".account__name").text == "Ann"
    assert HOST_COOKIE in browser.cookies
    ended = sign_out(browser).history[0].headers.get_list("set-cookie")
    assert [each.partition("=")[0] for each in ended if "Max-Age=0" in each] == [HOST_COOKIE, COOKIE]


@pytest.mark.breaks("app/web/authentication.py", "HOST_SALT)", 'self.signer and "parlor.member")')
def test_https_ignores_planted_cookies_without_the_prefix(app: FastAPI, client: TestClient) -> None:
    neighbour, victim = secure(app, client), secure(app, client)
    join(neighbour, "Eve")
    victim.cookies.set(COOKIE, neighbour.cookies[HOST_COOKIE])
    assert one(victim.get("/"), "#join")
    join(victim, "Ann")
    victim.cookies.set(COOKIE, "planted")
    assert one(victim.get("/"), ".account__name").text == "Ann"


def test_a_cookie_from_before_a_renaming_is_nobodys(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    other.cookies.set(COOKIE, client.cookies[COOKIE])
    join(client, "Anna")
    assert one(other.get("/"), "#join")


@pytest.mark.parametrize("cookie", ["", "nonsense", "e30.aaaa.bbbb"])
def test_a_forged_cookie_is_nobodys(client: TestClient, cookie: str) -> None:
    client.cookies.set(COOKIE, cookie)
    assert one(client.get("/"), "#join")


def test_times_are_shown_in_the_chosen_zone(client: TestClient, other: TestClient) -> None:
    join(client, time_zone="Asia/Tokyo")
    say(client, "hello")
    assert one(client.get("/"), ".message__time").text == "23:05"
    assert one(other.get("/"), ".message__time").text == "14:05"
    assert one(client.get("/"), "select[name=time_zone] option[selected]").text == "Asia/Tokyo"
    join(client, "Ann")  # renaming without choosing a zone keeps it
    assert one(client.get("/"), ".message__time").text == "23:05"


def test_any_configured_time_zone_can_be_chosen(settings: Settings) -> None:
    odd = settings.model_copy(update={"time_zone": "CET"})
    with TestClient(create_app(odd, Clock())) as client:
        chosen = one(client.get("/"), "select[name=time_zone] option[selected]").text
        assert chosen == "CET"
        assert join(client, time_zone=chosen).status_code == 200


def test_an_unknown_zone_is_refused(client: TestClient) -> None:
    assert join(client, time_zone="Mars/Olympus").status_code == 422


def test_a_visit_renews_the_cookie(client: TestClient, today: Clock) -> None:
    join(client)
    today.advance(days=365 / 4)
    assert "set-cookie" not in client.get("/").headers
    today.advance(days=1)
    assert f"Max-Age={365 * 24 * 3600};" in client.get("/").headers["set-cookie"]
    today.advance(days=364)
    assert one(client.get("/"), ".account__name").text == "Ann"


def test_keys_are_changed_without_anybody_losing_their_name(settings: Settings, today: Clock) -> None:
    settings.key_file.write_text("old\n")
    with TestClient(create_app(settings, today)) as client:
        join(client)
        cookies, old = client.cookies, client.cookies[COOKIE]
    settings.key_file.write_text("old\nnew\n")
    with TestClient(create_app(settings, today), cookies=cookies) as client:
        assert COOKIE in client.get("/").headers["set-cookie"]
        assert "set-cookie" not in client.get("/").headers
        cookies = client.cookies
    settings.key_file.write_text("new\n")
    with TestClient(create_app(settings, today), cookies=cookies) as client:
        assert one(client.get("/"), ".account__name").text == "Ann"
        client.cookies.clear()
        client.cookies.set(COOKIE, old)
        assert one(client.get("/"), "#join")


# Writing without a socket


def test_a_message_is_said_by_form(client: TestClient) -> None:
    join(client)
    answer = client.post("/rooms/lobby/messages", data={"message": "hello", "key": "k"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/rooms/lobby")
    assert bodies(client.get("/")) == ["hello"]


def test_the_same_form_sent_twice_is_one_message(client: TestClient) -> None:
    join(client)
    for _ in range(3):
        say(client, "hello", key="k")
    say(client, "hello", key="another")
    assert bodies(client.get("/")) == ["hello", "hello"]


def test_nobody_without_a_name_can_write(client: TestClient) -> None:
    assert say(client, "hello").status_code == 403
    assert bodies(client.get("/")) == []


@pytest.mark.parametrize(("text", "status"), [("  ", 422), ("x" * 4001, 422)])
def test_a_refused_message_stays_in_the_composer(client: TestClient, text: str, status: int) -> None:
    join(client)
    answer = say(client, text)
    assert answer.status_code == status
    assert one(answer, "#composer textarea").text == "\n" + text
    assert one(answer, "#notice").text


def test_writing_too_fast_is_refused_with_the_text_kept(settings: Settings) -> None:
    slow = settings.model_copy(update={"messages_burst": 2, "messages_per_second": 0.001})
    with TestClient(create_app(slow, Clock())) as client:
        join(client)
        assert [say(client, f"m{number}").status_code for number in range(2)] == [200, 200]
        refused = say(client, "m2")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1000")
        assert bodies(client.get("/")) == ["m0", "m1"]


def test_a_room_keeps_its_messages_to_itself(client: TestClient) -> None:
    join(client)
    say(client, "in the lobby")
    room = client.post("/rooms", data={"name": "Watercooler"})
    assert room.url.path == "/rooms/watercooler"
    say(client, "at the watercooler", "watercooler")
    assert bodies(client.get("/rooms/watercooler")) == ["at the watercooler"]
    assert bodies(client.get("/")) == ["in the lobby"]


# Rooms


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Watercooler", "watercooler"),
        ("Café Olé!", "cafe-ole"),
        ("Привет", "privet"),
        ("🎉", "room"),
        ("Lobby!", "lobby-2"),
    ],
)
def test_a_room_has_a_readable_address_of_its_own(client: TestClient, name: str, slug: str) -> None:
    join(client)
    assert client.post("/rooms", data={"name": name}, follow_redirects=False).headers["location"] == f"/rooms/{slug}"
    assert name in [link.text for link in soup(client.get("/")).select("#rooms a")]


def test_a_room_without_a_name_is_refused(client: TestClient) -> None:
    join(client)
    answer = client.post("/rooms", data={"name": " "})
    assert answer.status_code == 422
    assert one(answer, "#room-refused")


def test_nobody_without_a_name_makes_rooms(client: TestClient) -> None:
    assert client.post("/rooms", data={"name": "Mine"}).status_code == 403
    assert len(soup(client.get("/")).select("#rooms a")) == 1


def test_an_address_makes_only_so_many_names_and_rooms_and_no_other_notices(settings: Settings) -> None:
    few = settings.model_copy(update={"creations_burst": 3, "creations_per_minute": 1})
    with TestClient(create_app(few, Clock()), client=("192.0.2.1", 1)) as client:
        neighbour = TestClient(client.app, client=("192.0.2.2", 1))
        neighbour.portal = client.portal
        join(client, "Ann")
        assert client.post("/rooms", data={"name": "One"}).status_code == 200
        assert client.post("/rooms", data={"name": " "}).status_code == 422  # costs nothing
        assert client.post("/rooms", data={"name": "Two"}).status_code == 200
        refused = client.post("/rooms", data={"name": "Three"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert "from your address" in one(refused, "#room-refused").text
        assert join(client, "Anna").status_code == 429
        assert join(neighbour, "Bob").status_code == 200


@pytest.mark.breaks("app/rooms/creating.py", "        await self._limits.room(address)\n", "")
def test_an_address_makes_only_so_many_rooms_a_day(settings: Settings) -> None:
    few = settings.model_copy(update={"rooms_burst": 2, "rooms_per_day": 24})
    with TestClient(create_app(few, Clock())) as client:
        join(client)
        assert client.post("/rooms", data={"name": "One"}).status_code == 200
        assert client.post("/rooms", data={"name": "ONE"}).status_code == 409  # costs nothing
        assert client.post("/rooms", data={"name": "Two"}).status_code == 200
        refused = client.post("/rooms", data={"name": "Three"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "3600")
        assert "60 minutes" in one(refused, "#room-refused").text
        assert join(client, "Anna").status_code == 200


def test_there_are_only_so_many_rooms(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"max_rooms": 2}), Clock())) as client:
        join(client)
        assert client.post("/rooms", data={"name": "One"}).status_code == 200
        refused = client.post("/rooms", data={"name": "Two"})
        assert refused.status_code == 409
        assert "its limit" in one(refused, "#room-refused").text


def test_rooms_and_messages_survive_a_restart(settings: Settings) -> None:
    with TestClient(create_app(settings, Clock())) as client:
        join(client)
        client.post("/rooms", data={"name": "Watercooler"})
        say(client, "still here?", "watercooler")
        cookies = client.cookies
    with TestClient(create_app(settings, Clock()), cookies=cookies) as client:
        assert bodies(client.get("/rooms/watercooler")) == ["still here?"]
        assert one(client.get("/"), ".account__name").text == "Ann"


# For operators


def test_health_readiness_and_figures(client: TestClient) -> None:
    join(client)
    say(client, "hello")
    say(client, " ")
    assert client.get("/healthz").text == "alive\n"
    assert client.get("/readyz").text == "ready\n"
    figures = client.get("/metrics").text
    for line in (
        "parlor_messages_total 1.0",
        'parlor_refused_total{reason="blank"} 1.0',
        "parlor_rooms 1.0",
        "parlor_connections 0.0",
        "parlor_store_append_seconds_count 1.0",
        "parlor_store_waiting 0.0",
        'parlor_process_info{process="',
    ):
        assert line in figures


@pytest.mark.breaks("app/web/health.py", "disk_usage(folder).free < LEAST_FREE", "False")
@pytest.mark.breaks("app/settings.py", 'Path(urlsplit(self.store_url).path.removeprefix("/")).parent', "self.data_dir")
def test_nobody_is_sent_here_while_the_disk_is_full(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    free = {elsewhere: LEAST_FREE}
    monkeypatch.setattr("app.web.health.disk_usage", lambda folder: SimpleNamespace(free=free.get(folder, 10**9)))
    moved = settings.model_copy(update={"database_url": f"sqlite:///{elsewhere / 'chat.db'}"})
    with TestClient(create_app(moved, Clock())) as client:
        assert client.get("/readyz").text == "ready\n"
        free[elsewhere] = LEAST_FREE - 1
        answer = client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "the disk is full\n")
        assert client.get("/healthz").status_code == 200  # to start it anew would help nobody
        free[elsewhere] = LEAST_FREE
        assert client.get("/readyz").text == "ready\n"


@pytest.mark.breaks("app/web/health.py", "if folder and self._store.fails():", "if False:")
@pytest.mark.breaks("app/store/store.py", "self._failed_at = monotonic()", "pass")
@pytest.mark.breaks("app/store/store.py", "        self._failed_at = None\n        return done", "        return done")
@pytest.mark.breaks("app/store/store.py", "and monotonic() - self._failed_at < FAILURE_SECONDS", "")
def test_nobody_is_sent_here_while_the_last_write_failed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    join(client)

    async def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("app.store.sqlite.Sqlite.write", full)
        assert say(client, "hello").status_code == 503
        answer = client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "the store cannot be written\n")
        # Where nobody is sent, nobody writes: that it failed does not count for ever.
        disk.setattr("app.store.store.FAILURE_SECONDS", 0)
        assert client.get("/readyz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert say(client, "hello").status_code == 200
    assert client.get("/readyz").text == "ready\n"


def test_a_store_that_does_not_answer_is_said(client: TestClient, broken_store: Callable[[], None]) -> None:
    join(client)
    client.post("/rooms", data={"name": "Watercooler"})
    assert client.get("/").status_code == 200
    client.post("/rooms/watercooler/messages", data={"message": "hello"}, follow_redirects=False)
    broken_store()
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert client.get("/rooms/watercooler").status_code == 503
    assert "on our side" not in client.get("/rooms/watercooler").text
    # What is kept can still be read.
    assert client.get("/").status_code == 200


def test_a_page_that_nobody_wrote_to_needs_no_look_at_the_store(
    client: TestClient, broken_store: Callable[[], None]
) -> None:
    join(client)
    say(client, "hello")
    broken_store()
    assert bodies(client.get("/")) == ["hello"]
    assert one(client.get("/"), ".account__name").text == "Ann"


@pytest.mark.breaks("app/rooms/delivering.py", "self._history.newest.reached(room_id, position)", "pass")
def test_the_next_page_has_the_message(client: TestClient, other: TestClient) -> None:
    join(client)
    for number in range(3):
        say(client, f"message {number}", key=f"k{number}")
        for reader in (client, other):
            assert bodies(reader.get("/")) == [f"message {each}" for each in range(number + 1)]


@pytest.mark.breaks("app/rooms/reading.py", "self.confirm(self._settings.lost_after)", "pass")
def test_a_page_is_not_shown_when_its_log_is_gone(client: TestClient, settings: Settings) -> None:
    assert client.get("/").status_code == 200
    file = settings.data_dir / SQLITE_FILE
    file.rename(file.with_suffix(".aside"))
    assert client.get("/").status_code == 503
    file.with_suffix(".aside").rename(file)
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("key", ["x" * 129, "a b", '"', "\u00e4", "k\n"], ids=ascii)
def test_a_key_that_is_none_is_refused(client: TestClient, key: str) -> None:
    client.post("/name", data={"name": "Ann"})
    answer = client.post("/rooms/lobby/messages", data={"message": "hello", "key": key})
    assert answer.status_code == 422
    assert "message__body" not in client.get("/").text


def test_the_enter_choice_is_kept_in_this_browser(client: TestClient) -> None:
    for chosen, kept in (("line", "line"), ("send", "send"), ("anything", ""), ("line", "line"), ("", "")):
        answer = client.post("/name", data={"name": "Ann", "enter": chosen}, follow_redirects=False)
        assert answer.status_code == 303
        form = one(client.get("/"), "#composer")
        assert form["class"] == (["composer", f"composer--{kept}"] if kept else ["composer"])
    client.cookies.set("parlor_enter", "<b>")
    assert one(client.get("/"), "#composer")["class"] == ["composer"]
