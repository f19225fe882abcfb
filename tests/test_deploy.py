"""The files in deploy/: a chat through nginx with our site, and that units and images agree with the application."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from http import HTTPStatus
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.settings import Settings
from tests.site import DEPLOY, LOCATIONS, NAME, ROOT, SITE, Site, application, free_port, nginx, read_until, replaced

UNIT = (DEPLOY / "systemd" / "parlor@.service").read_text()
ENVIRONMENT = (DEPLOY / "parlor.env").read_text()
COMPOSE = (DEPLOY / "compose.yaml").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
GUIDE = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("deployment", "operating"))

ANY_DIGEST = "0123456789ab"
MIME_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    "": "text/plain; charset=utf-8",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Parlor behind nginx."""
    folder = tmp_path_factory.mktemp("site")
    with application(folder) as port, nginx(folder, f"127.0.0.1:{port}") as found:
        yield found


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Site]:
    """nginx, with no application behind it."""
    with nginx(tmp_path, f"127.0.0.1:{free_port()}") as found:
        yield found


# The site


def test_people_chat_through_nginx(site: Site) -> None:
    with site.resume(Cookie=site.join("Ann")) as ann, site.resume(Cookie=site.join("Bob")) as bob:
        ann.send('{"message": "hello", "key": "k1"}')
        seen = read_until(ann, 'id="message-1"', "k1")
        assert "beforeend:#messages" in seen
        assert "hello" in read_until(bob, 'id="message-1"')
    with site.client() as client:
        assert 'id="message-1"' in client.get("/rooms/lobby").text


def test_another_site_is_refused(site: Site) -> None:
    with pytest.raises(InvalidStatus) as refusal, site.open(origin="https://evil.example"):
        pass
    assert refusal.value.response.status_code == HTTPStatus.FORBIDDEN
    with site.client() as client:
        answer = client.post("/name", data={"name": "Eve"}, headers={"Origin": "https://evil.example"})
        assert answer.status_code == HTTPStatus.FORBIDDEN


def test_an_address_cannot_be_made_up(tmp_path: Path) -> None:
    with (
        application(tmp_path, PARLOR_CONNECTIONS_PER_ADDRESS="1") as port,
        nginx(tmp_path, f"127.0.0.1:{port}") as site,
        site.resume(X_Forwarded_For="192.0.2.1"),
    ):
        # The same address, whatever it claims. It is one whose claims the application would believe …
        with site.open(X_Forwarded_For="192.0.2.2") as second:
            with pytest.raises(ConnectionClosed):
                read_until(second, "never")
            assert second.close_code == 1013
        # … and another one, which the application can only know from nginx.
        with site.resume("127.0.0.2", X_Forwarded_For="192.0.2.1"):
            pass


def test_the_longest_message_passes_and_a_flood_does_not(site: Site) -> None:
    with site.client() as client:
        cookie = {"Cookie": site.join("Cleo")}
        longest = client.post("/rooms/lobby/messages", data={"message": "🦜" * 4000, "key": "k2"}, headers=cookie)
        assert longest.status_code == HTTPStatus.SEE_OTHER
        flood = client.post("/rooms/lobby/messages", data={"message": "x" * 70_000, "key": "k3"}, headers=cookie)
        assert flood.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_pages_come_compressed(site: Site) -> None:
    with site.client() as client:
        page = client.get("/", headers={"Accept-Encoding": "gzip"})
        assert page.headers["Content-Encoding"] == "gzip"
        assert set(page.headers["Vary"].split(", ")) == {"Accept-Encoding", "Cookie"}
        assert "nonce-" in page.headers["Content-Security-Policy"]


def test_a_known_page_is_not_modified_through_nginx(site: Site) -> None:
    with site.client() as client:
        page = client.get("/", headers={"Accept-Encoding": "gzip"})
        unchanged = client.get("/", headers={"Accept-Encoding": "gzip", "If-None-Match": page.headers["ETag"]})
        assert unchanged.status_code == HTTPStatus.NOT_MODIFIED
        assert "Content-Security-Policy" not in unchanged.headers


def test_figures_are_for_this_machine_alone(site: Site) -> None:
    with site.client() as here, site.client("127.0.0.2") as elsewhere:
        assert "parlor_" in here.get("/metrics").text
        for path in ("/metrics", "/%6detrics", "/metrics?x=1"):
            assert elsewhere.get(path).status_code == HTTPStatus.FORBIDDEN
        assert elsewhere.get("/healthz").is_success


def test_pages_use_static_addresses_that_nginx_serves(site: Site) -> None:
    with site.client() as client:
        addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/").text)
        assert addresses
        pattern = re.search(r'location ~ "(\^/static/[^"]+)"', LOCATIONS)
        assert pattern
        for address in addresses:
            assert re.search(pattern[1].replace("(?<", "(?P<"), address)
            assert client.get(address).is_success


def test_static_files_need_no_application(lonely: Site) -> None:
    files = [path for path in (ROOT / "static").rglob("*") if path.is_file()]
    assert files
    with lonely.client() as client:
        assert client.get("/").status_code == HTTPStatus.BAD_GATEWAY
        for path in files:
            answer = client.get(f"/static/{ANY_DIGEST}/{path.relative_to(ROOT / 'static').as_posix()}")
            assert answer.content == path.read_bytes()
            assert answer.headers["Content-Type"] == MIME_TYPES[path.suffix], path
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        sheet = f"/static/{ANY_DIGEST}/css/theme.css"
        assert client.get(sheet, headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("path", ["../Makefile", "..%2fMakefile", "%2e%2e/Makefile", "css/none.css", "css/"])
def test_nothing_else_is_served_as_a_static_file(lonely: Site, path: str) -> None:
    with lonely.client() as client:
        answer = client.get(f"/static/{ANY_DIGEST}/{path}")
        assert not answer.is_success
        assert "Cache-Control" not in answer.headers
        assert "PYTHON" not in answer.text


def test_an_office_that_reconnects_is_not_held_up(lonely: Site) -> None:
    windows = Settings.model_fields["connections_per_address"].default
    with lonely.client() as client:
        statuses = {client.get("/ws/lobby").status_code for _ in range(2 * windows)}
        assert statuses == {HTTPStatus.BAD_GATEWAY}


def test_plain_http_leads_to_https(lonely: Site, tmp_path: Path) -> None:
    challenge = tmp_path / "challenges" / ".well-known" / "acme-challenge" / "token"
    challenge.parent.mkdir(parents=True)
    challenge.write_text("proof")
    address = f"http://127.0.0.1:{lonely.redirecting_port}"
    answer = httpx2.get(f"{address}/rooms/lobby?before=9", headers={"Host": "evil.example"})
    assert answer.status_code == HTTPStatus.MOVED_PERMANENTLY
    assert answer.headers["Location"] == f"https://{NAME}/rooms/lobby?before=9"
    assert httpx2.get(f"{address}/.well-known/acme-challenge/token").text == "proof"


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed, so that there is no certificate")
def test_people_chat_under_https(tmp_path: Path) -> None:
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout privkey.pem "
        f"-out fullchain.pem -subj /CN={NAME} -addext subjectAltName=DNS:{NAME},IP:127.0.0.1".split(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    with (
        application(tmp_path) as port,
        nginx(tmp_path, f"127.0.0.1:{port}", certificate=tmp_path / "fullchain.pem") as site,
    ):
        with site.client() as client:
            answer = client.post("/name", data={"name": "Ann"})
            assert "; Secure" in answer.headers["Set-Cookie"]
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        with site.resume(Cookie=site.join("Bob")) as bob:
            bob.send('{"message": "hello", "key": "k1"}')
            assert "hello" in read_until(bob, 'id="message-1"')


# What the files say


@pytest.mark.parametrize(
    "text",
    [SITE, LOCATIONS, UNIT, ENVIRONMENT, DOCKERFILE, COMPOSE, GUIDE],
    ids=["site", "locations", "unit", "env", "image", "compose", "guide"],
)
def test_every_setting_that_is_named_exists(text: str) -> None:
    assert {name.lower() for name in re.findall(r"\bPARLOR_([A-Z_]+)", text)} <= set(Settings.model_fields)


def test_the_example_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"^#?(PARLOR_\w+)=(.*)$", ENVIRONMENT, re.MULTILINE)
    assert examples
    for name, value in examples:
        monkeypatch.setenv(name, value)
    Settings()


def test_every_path_that_is_named_exists() -> None:
    for text in (SITE, LOCATIONS, UNIT, GUIDE):
        for path in re.findall(r"/opt/parlor/([\w./@-]*[\w-])", text):
            assert path.startswith(".venv/") or (ROOT / path).exists(), path
    for path in re.findall(r"(?:deploy|docs|app)/[\w./@-]*\w", UNIT + ENVIRONMENT + SITE + GUIDE):
        assert (ROOT / path).exists(), path


def test_a_silent_heartbeat_is_noticed_by_the_application_first() -> None:
    silence = Settings.model_fields["lost_after"].default
    sockets = re.search(r"^location ~ \^/ws.*?^}", LOCATIONS, re.DOTALL | re.MULTILINE)
    assert sockets
    timeouts = re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", sockets[0])
    assert len(timeouts) == 2
    assert all(int(timeout) >= 2 * silence for timeout in timeouts)


def test_an_answer_is_waited_for_as_long_as_the_application_may_take() -> None:
    waits = re.findall(r"proxy_read_timeout (\d+)s;", LOCATIONS.replace("proxy_read_timeout 60s", ""))
    assert len(waits) == 2
    assert all(int(wait) >= 2 * Settings.model_fields["lock_wait_seconds"].default for wait in waits)


def test_a_stop_is_given_its_time() -> None:
    stop = re.search(r"^TimeoutStopSec=(\d+)s$", UNIT, re.MULTILINE)
    assert stop
    assert int(stop[1]) > Settings.model_fields["shutdown_seconds"].default


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "systemd", tmp_path, dirs_exist_ok=True)
    # The packages may be installed elsewhere; the interpreter that runs this test exists for certain.
    (tmp_path / "parlor@.service").write_text(replaced(UNIT, {"/opt/parlor/.venv/bin/python": sys.executable}))
    for name in ("parlor@8000.service", "parlor.target"):
        result = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / name], capture_output=True, text=True, timeout=60
        )
        assert "parlor" not in result.stdout + result.stderr


def test_the_image_gets_all_files_and_no_more() -> None:
    patterns = (ROOT / ".dockerignore").read_text().split("\n")
    copied = [
        source
        for arguments in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in arguments.split()[:-1]
    ]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in patterns, source
    assert {pattern[1:] for pattern in patterns if pattern.startswith("!")} == set(copied)
    assert any(fnmatch("static/vendor", pattern) for pattern in patterns[patterns.index("!static") :])


def test_the_image_takes_the_same_browser_files_as_make() -> None:
    wanted = re.search(r"^HTMX_FILES := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    taken = re.search(r"cp (\S.*) /vendor$", DOCKERFILE, re.MULTILINE)
    assert wanted
    assert taken
    assert taken[1].split() == wanted[1].split()


def test_the_image_knows_whether_it_is_healthy(tmp_path: Path) -> None:
    check = re.search(r"^HEALTHCHECK .*CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    assert check
    command, *arguments = json.loads(check[1])
    assert command == "python"

    def status(port: int) -> int:
        environment = os.environ | {"PARLOR_PORT": str(port)}
        return subprocess.run([sys.executable, *arguments], env=environment, stderr=subprocess.DEVNULL).returncode

    with application(tmp_path) as port:
        assert status(port) == 0
    assert status(port) == 1


def test_the_image_is_stopped_by_a_signal_to_the_server_itself() -> None:
    command = re.search(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    assert command
    assert json.loads(command[1]) == ["python", "-m", "app", "serve"]
    assert "-m app serve" in UNIT
