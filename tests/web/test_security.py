"""Hosts, origins, headers, authentication."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.testclient import WebSocketDenialResponse

from app.chat.messages import Member
from app.main import create_app
from app.settings import Settings
from app.store.store import SESSION_ENDED, Store
from app.web.authentication import CACHE_SECONDS, Authenticator
from app.web.cookies import COOKIE
from app.web.identity import Signer
from app.web.keys import read_keys
from app.web.security import HEADERS, is_ours, is_own
from tests.cast import ANN
from tests.conftest import Clock


def test_every_answer_has_the_policy_and_a_nonce_of_its_own(client: TestClient) -> None:
    nonces = set()
    for address in ("/", "/rooms/lobby", "/nowhere", "/healthz", "/rooms/lobby/messages?before=5"):
        answer = client.get(address)
        policy = answer.headers["content-security-policy"]
        nonce = re.search(r"script-src 'nonce-([\w-]+)'", policy)
        assert nonce and "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        nonces.add(nonce[1])
    assert len(nonces) == 5


def test_an_error_that_nobody_expected_has_the_policy_too(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.rooms.reading.History.page", None)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/")
    assert answer.status_code == 500
    assert "require-trusted-types-for" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_nonce_of_the_page_is_the_one_in_its_policy(client: TestClient) -> None:
    answer = client.get("/")
    (policy_nonce,) = re.findall(r"script-src 'nonce-([\w-]+)'", answer.headers["content-security-policy"])
    assert set(re.findall(r'nonce="([^"]+)"', answer.text)) == {policy_nonce}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://testserver.evil.test"},
        {"Origin": "http://testserver:8080"},
        {"Origin": "http://testserver@evil.test"},
        {"Origin": "http://[broken"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_form_on_another_site_changes_nothing(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/name", data={"name": "Ann"}, headers=headers).status_code == 403
    assert client.get("/", headers=headers).status_code == 200  # reading is for everybody


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}], ids=str)
def test_our_forms_and_other_clients_are_accepted(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/name", data={"name": "Ann"}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://chat.test", "chat.test", True),
        ("http://chat.test", "chat.test:80", True),
        ("https://chat.test", "chat.test", True),
        ("https://chat.test:443", "chat.test", True),
        ("http://CHAT.test", "chat.test", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://chat.test", "chat.test:8000", False),
        ("http://chat.test:8000", "chat.test", False),
        ("http://other.test", "chat.test", False),
        ("null", "", False),
        ("", "", False),
        ("chat.test", "chat.test", False),
        ("http://chat.test:port", "chat.test", False),
    ],
)
def test_an_origin_is_ours_where_host_and_port_are(origin: str, host: str, own: bool) -> None:
    assert is_own(origin, host) is own


# By which name we are called


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("chat.test", True),
        ("CHAT.test:8000", True),
        ("localhost:8000", True),
        ("127.0.0.1:8000", True),
        ("192.168.1.20", True),
        ("[::1]:8000", True),
        (gethostname(), True),
        (f"{gethostname()}.local:80", True),
        ("", True),  # no browser leaves it out
        ("evil.test", False),
        ("chat.test.evil.test", False),
        ("evil.test:80@chat.test.evil", False),
        ("127.0.0.1.evil.test", False),
        ("localhost.evil.test", False),
        ("[::1", False),
        ("2130706433", False),  # 127.0.0.1, as some read it
        (".", False),
        (":80", False),
    ],
)
def test_a_name_is_ours_where_it_is_listed_or_nobody_can_lead_it_here(host: str, ours: bool) -> None:
    assert is_ours(host, ("chat.test",)) is ours


def test_any_name_is_ours_where_the_operator_says_so() -> None:
    assert is_ours("evil.test", ("*",))


@pytest.mark.breaks(
    "app/web/security.py", 'if not is_ours(Headers(scope=scope).get("host", ""), self.allowed_hosts):', "if False:"
)
def test_an_unknown_host_name_is_refused(app: FastAPI, client: TestClient) -> None:
    """DNS rebinding: a page of `evil.test` whose name leads to us."""
    answer = client.get("/", headers={"Host": "evil.test"})
    assert answer.status_code == 421
    assert "PARLOR_ALLOWED_HOSTS" in answer.text
    assert "Lobby" not in answer.text
    rebound = {"Host": "evil.test", "Origin": "http://evil.test", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/name", data={"name": "Eve"}, headers=rebound).status_code == 421
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/ws", headers=rebound):
        pass
    assert refused.value.status_code == 421
    assert 'parlor_refused_total{reason="foreign-host"} 3.0' in client.get("/metrics").text


# From where we are called


@pytest.mark.breaks(
    "app/web/security.py", 'if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):', "if False:"
)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_cross_site_requests_are_refused_with_any_origin(client: TestClient, site: str) -> None:
    theirs = {"Origin": "http://testserver", "Sec-Fetch-Site": site}
    assert client.post("/name", data={"name": "Eve"}, headers=theirs).status_code == 403
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/ws", headers=theirs):
        pass


def test_no_other_origin_may_read_our_answers(client: TestClient) -> None:
    answer = client.get("/", headers={"Origin": "http://partner.test"})
    assert "access-control-allow-origin" not in answer.headers


def test_an_allowed_origin_may_read_and_write(settings: Settings) -> None:
    allowing = settings.model_copy(update={"allowed_origins": ("http://partner.test",)})
    with TestClient(create_app(allowing, Clock())) as client:
        theirs = {"Origin": "http://partner.test"}
        answer = client.post("/name", data={"name": "Ann"}, headers=theirs)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "http://partner.test"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert client.post("/name", data={"name": "Eve"}, headers={"Origin": "http://evil.test"}).status_code == 403


# Who somebody is

# Of a cookie of Ann's, who is called Anna now; with `signer` as the application has it. None is anybody's.
BROKEN: dict[str, Callable[[str, Member, Signer], str]] = {
    "forged": lambda cookie, ann, signer: f"{cookie[:-4]}AAAA",
    "cut": lambda cookie, ann, signer: cookie[:-10],
    "with something before it": lambda cookie, ann, signer: "x" + cookie,
    "foreign key": lambda cookie, ann, signer: Signer(["a foreign key"], timedelta(days=365)).sign(ann),
    "number": lambda cookie, ann, signer: signer._dump(asdict(ann) | {"id": 1}),
    "nested": lambda cookie, ann, signer: signer._dump(asdict(ann) | {"id": asdict(ann)}),
    "a field too many": lambda cookie, ann, signer: signer._dump(asdict(ann) | {"role": "admin"}),
    "a field too few": lambda cookie, ann, signer: signer._dump({"id": ann.id}),
    "null": lambda cookie, ann, signer: signer._dump(None),
    "not ASCII": lambda cookie, ann, signer: "\u00e4" + cookie,
    "long": lambda cookie, ann, signer: "x" * 10_000,
}
OUTDATED: dict[str, Callable[[str, Member, Signer], str]] = {
    "no such member": lambda cookie, ann, signer: signer.sign(replace(ann, id="f" * 16)),
    "from before a renaming": lambda cookie, ann, signer: cookie,
}


@pytest.mark.breaks("app/web/authentication.py", "return member.is_still(known)\n", "return True\n")
@pytest.mark.parametrize("kind", [*BROKEN, *OUTDATED])
def test_a_cookie_that_is_nobodys_reads_along_and_is_told_how_to_go_on(
    settings: Settings, client: TestClient, other: TestClient, kind: str
) -> None:
    signer = Signer(read_keys(settings.key_file), settings.session_lifetime)
    client.post("/name", data={"name": "Ann"})
    once = client.cookies[COOKIE]
    session = signer.read(once)
    assert session
    client.post("/name", data={"name": "Anna"})
    client.post("/rooms/lobby/messages", data={"message": "hello"})
    cookie = (BROKEN | OUTDATED)[kind](once, session.member, signer)
    headers = {b"cookie": f"{COOKIE}={cookie}".encode(), b"origin": b"http://testserver"}

    page = other.get("/", headers=headers)
    assert page.status_code == 200
    assert 'id="join"' in page.text and 'id="composer"' not in page.text
    assert SESSION_ENDED in page.text
    # What was right once is not deleted: its owner may be getting the new one at this very moment.
    assert ("Max-Age=0" in page.headers.get("set-cookie", "")) is (kind in BROKEN)

    said = other.post("/rooms/lobby/messages", data={"message": "as Ann"}, headers=headers)
    assert said.status_code == 403
    assert "Choose a name" in said.text and "\nas Ann</textarea>" in said.text
    assert other.post("/rooms", data={"name": "Ann's"}, headers=headers).status_code == 403

    with other.websocket_connect("/ws/lobby", headers=headers) as socket:
        socket.send_json({"cursor": ""})
        received = ""
        while 'data-state="connected"' not in received:
            received += socket.receive_text()
        assert "hello" in received
        assert (
            "Your session in this browser has ended" in received and 'href="/rooms/lobby" target="_blank"' in received
        )
        received = ""
        socket.send_json({"message": "as Ann", "key": "k"})
        while "innerHTML:#notice" not in received:
            received += socket.receive_text()
        assert "Choose a name" in received and 'href="/rooms/lobby" target="_blank"' in received
        assert "delete target:'#" not in received.replace(
            "delete target:'#notice", ""
        )  # the text stays in the composer

    assert "as Ann" not in client.get("/").text
    named = other.post("/name", data={"name": "Eve"}, headers=headers, follow_redirects=False)
    assert named.status_code == 303 and COOKIE in named.headers["set-cookie"]
    assert 'account__name">Anna<' in client.get("/").text


def test_a_name_that_ended_with_its_time_is_asked_for_again(client: TestClient, today: Clock) -> None:
    client.post("/name", data={"name": "Ann"})
    today.advance(days=366)
    page = client.get("/")
    assert SESSION_ENDED in page.text and 'id="join"' in page.text
    assert not client.cookies  # it is told once
    assert SESSION_ENDED not in client.get("/").text


def test_a_visitor_without_a_cookie_gets_no_notice(client: TestClient) -> None:
    page = client.get("/")
    assert SESSION_ENDED not in page.text
    assert "set-cookie" not in page.headers


@given(st.text(st.characters(codec="latin-1")))
@hypothesis_settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_page_is_shown_with_any_cookie(client: TestClient, text: str) -> None:
    assert client.get("/", headers={b"cookie": f"{COOKIE}={text}".encode("latin-1")}).status_code == 200


@pytest.mark.breaks("app/web/identity.py", "if age > self._lifetime", "if not timedelta(0) <= age <= self._lifetime")
def test_nobody_loses_their_name_to_a_clock_that_jumps(client: TestClient, other: TestClient, today: Clock) -> None:
    client.post("/name", data={"name": "Ann"})
    for hours in (-1, 24, -48, 24):
        today.jump(hours=hours)
        assert 'account__name">Ann<' in client.get("/").text
        assert client.post("/rooms/lobby/messages", data={"message": f"after {hours}"}).status_code == 200
        assert other.post("/name", data={"name": "Ann"}).status_code == 409
    said = re.findall(r'"message__body"[^>]*>([^<]*)<', client.get("/").text)
    assert said == ["after -1", "after 24", "after -48", "after 24"]


def test_times_in_tests_stand_still() -> None:
    assert Clock()() == datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


# Who is looked up


class Register:
    """A store that knows members, and answers when it is told to."""

    def __init__(self, *members: Member) -> None:
        self.members = {member.id: member for member in members}
        self.asked = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def member(self, member_id: str) -> Member | None:
        """Return what was so when it was asked."""
        self.asked += 1
        found = self.members.get(member_id)
        await self.answering.wait()
        return found


@pytest.fixture
def register() -> Register:
    return Register(ANN)


@pytest.fixture
def authenticator(register: Register, clock: Clock) -> Authenticator:
    return Authenticator(Signer(["a key"], timedelta(days=1)), cast(Store, register), lambda: clock.elapsed)


def request_of(authenticator: Authenticator, member: Member) -> Request:
    cookie = f"{COOKIE}={authenticator.signer.sign(member)}"
    return Request({"type": "http", "headers": [(b"cookie", cookie.encode())]})


@pytest.mark.breaks(
    "app/web/authentication.py", "TTLCache(MOST_CACHED, CACHE_SECONDS, now)", "TTLCache(MOST_CACHED, 10**9, now)"
)
async def test_a_member_is_looked_up_once_a_minute(
    authenticator: Authenticator, register: Register, clock: Clock
) -> None:
    request = request_of(authenticator, ANN)
    for _ in range(3):
        assert await authenticator.member(request) == ANN
    assert register.asked == 1
    clock.advance(seconds=CACHE_SECONDS)
    assert await authenticator.member(request) == ANN
    assert register.asked == 2


@pytest.mark.breaks(
    "app/web/authentication.py", "if member.is_still(self._known.get(member.id)):", "if member.id in self._known:"
)
async def test_another_cookie_of_the_same_member_is_looked_up(authenticator: Authenticator, register: Register) -> None:
    anna = replace(ANN, name="Anna")
    assert await authenticator.member(request_of(authenticator, ANN)) == ANN
    assert await authenticator.member(request_of(authenticator, anna)) is None
    # Renamed elsewhere: the new cookie holds at once.
    register.members[ANN.id] = anna
    assert await authenticator.member(request_of(authenticator, anna)) == anna


@pytest.mark.breaks("app/web/authentication.py", "self._known.pop(member.id, None)", "pass")
async def test_after_a_renaming_the_old_cookie_is_nobodys(authenticator: Authenticator, register: Register) -> None:
    assert await authenticator.member(request_of(authenticator, ANN)) == ANN
    register.members[ANN.id] = replace(ANN, name="Anna")
    authenticator.forget(ANN)
    assert await authenticator.member(request_of(authenticator, ANN)) is None


@pytest.mark.breaks("app/web/authentication.py", "if known and changes == self._changes:", "if known:")
async def test_a_member_looked_up_during_a_renaming_is_not_cached(
    authenticator: Authenticator, register: Register
) -> None:
    register.answering.clear()
    asking = asyncio.create_task(authenticator.member(request_of(authenticator, ANN)))
    await asyncio.sleep(0)
    register.members[ANN.id] = replace(ANN, name="Anna")
    authenticator.forget(ANN)
    register.answering.set()
    assert await asking == ANN  # so it was when it was asked
    assert await authenticator.member(request_of(authenticator, ANN)) is None


async def test_only_so_many_are_remembered(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.authentication.MOST_CACHED", 2)
    authenticator = Authenticator(Signer(["a key"], timedelta(days=1)), cast(Store, register))
    crowd = [Member(f"{number:016}", f"Ann {number}", "UTC") for number in range(5)]
    register.members |= {member.id: member for member in crowd}
    for member in crowd:
        assert await authenticator.member(request_of(authenticator, member)) == member
        assert len(authenticator._known) <= 2


# What every answer says to the browser

DIRECTIVES = {
    "default-src": "'none'",
    "script-src": "'nonce-{nonce}'",
    "style-src": "'self' 'nonce-{nonce}'",
    "connect-src": "'self' data:",
    "img-src": "'self' data:",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "htmx",
}
HEADERS_SENT = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), interest-cohort=()",
}


@pytest.mark.breaks("app/web/security.py", "default-src 'none'; ", "")
@pytest.mark.breaks("app/web/security.py", "script-src 'nonce-{nonce}'; ", "")
@pytest.mark.breaks("app/web/security.py", "style-src 'self' 'nonce-{nonce}'; ", "")
@pytest.mark.breaks("app/web/security.py", "connect-src 'self' data:; ", "")
@pytest.mark.breaks("app/web/security.py", "img-src 'self' data:; ", "")
@pytest.mark.breaks("app/web/security.py", "form-action 'self'; ", "")
@pytest.mark.breaks("app/web/security.py", "base-uri 'none'; ", "")
@pytest.mark.breaks("app/web/security.py", "frame-ancestors 'none'; ", "")
@pytest.mark.breaks("app/web/security.py", "require-trusted-types-for 'script'; ", "")
@pytest.mark.breaks("app/web/security.py", "; trusted-types htmx", "; ")
def test_the_policy_has_each_of_its_directives(client: TestClient) -> None:
    answer = client.get("/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    nonce = re.search(r'nonce="([^"]+)"', answer.text)
    assert nonce
    assert policy == {name: value.format(nonce=nonce[1]) for name, value in DIRECTIVES.items()}


@pytest.mark.breaks("app/web/security.py", '"X-Content-Type-Options": "nosniff",', "")
@pytest.mark.breaks("app/web/security.py", '"X-Frame-Options": "DENY",', "")
@pytest.mark.breaks("app/web/security.py", '"Referrer-Policy": "same-origin",', "")
@pytest.mark.breaks("app/web/security.py", '"Cross-Origin-Opener-Policy": "same-origin",', "")
@pytest.mark.breaks("app/web/security.py", '"Cross-Origin-Resource-Policy": "same-origin",', "")
@pytest.mark.breaks("app/web/security.py", "camera=(), geolocation=(), microphone=(), interest-cohort=()", "")
@pytest.mark.parametrize("path", ["/", "/nowhere", "/healthz", "/metrics"])
def test_every_answer_has_each_of_the_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert {name: headers.get(name) for name in HEADERS_SENT} == HEADERS_SENT


# Who may read the figures


@pytest.mark.breaks("app/web/health.py", "if not self._may_see_figures(request):", "if False:")
@pytest.mark.breaks(
    "app/web/health.py", "if token and is_told and compare_digest(", "if token and is_told or compare_digest("
)
@pytest.mark.breaks("app/web/health.py", 'bool(token) and scheme.lower() == "bearer"', "bool(token)")
@pytest.mark.parametrize(
    ("options", "address", "header", "status"),
    [
        ({}, "127.0.0.1", "", 200),
        ({}, "192.168.7.9", "", 200),
        ({}, "203.0.113.7", "", 403),
        ({}, "", "", 403),
        ({"metrics_from": "203.0.113.0/24"}, "203.0.113.7", "", 200),
        ({"metrics_from": "203.0.113.0/24"}, "127.0.0.1", "", 403),
        ({"metrics_token": "a token that nobody knows"}, "203.0.113.7", "Bearer a token that nobody knows", 200),
        ({"metrics_token": "a token that nobody knows"}, "203.0.113.7", "bearer a token that nobody knows", 200),
        ({"metrics_token": "a token that nobody knows"}, "203.0.113.7", "Bearer another one", 403),
        ({"metrics_token": "a token that nobody knows"}, "203.0.113.7", "a token that nobody knows", 403),
        ({"metrics_token": "a token that nobody knows"}, "203.0.113.7", "Basic a token that nobody knows", 403),
        ({"metrics_token": "a token that nobody knows"}, "203.0.113.7", "Bearer ", 403),
        ({}, "203.0.113.7", "Bearer ", 403),
        ({"metrics_token": "a token that nobody knows"}, "203.0.113.7", "", 403),
    ],
)
def test_metrics_are_shown_only_to_allowed_readers(
    tmp_path: Path, options: dict[str, Any], address: str, header: str, status: int
) -> None:
    app = create_app(Settings(data_dir=tmp_path, allowed_hosts=("testserver",), **options))
    with TestClient(app, client=(address, 1)) as client:
        assert client.get("/metrics", headers={"Authorization": header}).status_code == status
