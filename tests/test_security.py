"""Origin, headers, and who may read our answers."""

import re
from datetime import UTC, datetime
from socket import gethostname

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from app.main import create_app
from app.security import HEADERS, is_ours, is_own
from app.settings import Settings
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
    monkeypatch.setattr("app.rooms.Rooms.page", None)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/")
    assert answer.status_code == 500
    assert "require-trusted-types-for" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_nonce_of_the_page_is_the_one_in_its_policy(client: TestClient) -> None:
    answer = client.get("/")
    (policy_nonce,) = re.findall(r"script-src 'nonce-([\w-]+)'", answer.headers["content-security-policy"])
    assert set(re.findall(r'nonce="([^"]+)"', answer.text)) == {policy_nonce}


def test_static_files_are_kept_for_good_and_found_by_the_page(client: TestClient) -> None:
    sheets = re.findall(r'href="(/static/[^"]+)"', client.get("/").text)
    assert sheets
    for sheet in sheets:
        answer = client.get(sheet)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


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
def test_our_own_forms_and_what_is_no_browser_are_welcome(client: TestClient, headers: dict[str, str]) -> None:
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
    "app/security.py", 'if not is_ours(Headers(scope=scope).get("host", ""), self.allowed_hosts):', "if False:"
)
def test_under_another_name_nothing_is_answered(app: FastAPI, client: TestClient) -> None:
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
    "app/security.py", 'if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):', "if False:"
)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_marks_as_from_elsewhere_is_refused_whatever_its_origin(client: TestClient, site: str) -> None:
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


def test_times_in_tests_stand_still() -> None:
    assert Clock()() == datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
