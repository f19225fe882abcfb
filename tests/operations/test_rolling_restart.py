"""deploy/rolling-restart: two processes behind nginx are started anew while people talk, and nobody is told no.

The script is the real one, and so is nginx with our site. Of systemd there is only what the script asks for: a
`systemctl` that passes it on to this test, which stops and starts the processes as systemd does.
"""

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.postgres import Cluster
from tests.server import Server
from tests.site import DEPLOY, NAME, Site, application, nginx, read_until

SCRIPT = DEPLOY / "rolling-restart"
TALKERS = 3
SYSTEMCTL = '#!/bin/sh\nexec curl --silent --fail --data "$*" "http://127.0.0.1:$CONTROL/"\n'
UNLIMITED = {
    "messages_per_second": 1e6,
    "address_messages_per_second": 1e6,
    "reads_per_second": 1e6,
    "allowed_hosts": NAME,
    "secret_key": "the same for both of them",
}

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed, which the script asks with")


class Units:
    """Processes as units of systemd, and what stands in for `systemctl`."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = {f"parlor@{server.port}.service": server for server in servers}
        self.restarted: list[str] = []

    def control(self, command: str) -> str:
        """Do what `systemctl` is told, and return what it says."""
        verb, *_, last = command.split()
        if verb == "list-units":
            return "".join(f"{name} loaded active running Parlor\n" for name in self._servers)
        assert verb == "restart"
        self._servers[last].stop()
        self._servers[last].start()
        self.restarted.append(last)
        return ""


@contextmanager
def answering(answer: Callable[[str], str]) -> Iterator[int]:
    """Answer what is posted to a port of this machine; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = answer(self.rfile.read(int(self.headers["Content-Length"])).decode()).encode()
            self.send_response(HTTPStatus.OK)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def roll(folder: Path, units: Units) -> str:
    """Run the script, and return what it says."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)
    with answering(units.control) as port:
        environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "CONTROL": str(port)}
        ended = subprocess.run(["sh", SCRIPT], env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def servers(tmp_path: Path, postgres_url: str) -> Iterator[list[Server]]:
    """Two processes on one database."""
    with ExitStack() as stack:
        found = [Server(tmp_path / "data", database_url=postgres_url, **UNLIMITED) for _ in range(2)]
        for server in found:
            server.start()
            stack.callback(server.kill)
        yield found


@pytest.fixture
def site(tmp_path: Path, servers: list[Server]) -> Iterator[Site]:
    """nginx in front of both."""
    with nginx(tmp_path, *(server.host for server in servers)) as found:
        yield found


def talk(site: Site, name: str, is_over: threading.Event) -> list[str]:
    """Say one thing after the other and look at the page in between, until it is over; returns what was said."""
    said: list[str] = []
    with site.client() as client:
        client.headers["Cookie"] = site.join(name)
        for number in count(1):
            if is_over.is_set():
                return said
            said.append(f"{name}-{number}")
            posted = client.post("/rooms/lobby/messages", data={"message": said[-1], "key": said[-1]})
            assert posted.status_code == HTTPStatus.SEE_OTHER, posted.text
            assert client.get("/rooms/lobby").status_code == HTTPStatus.OK
    raise AssertionError("count() has an end")


def listen(site: Site, is_over: threading.Event) -> str:
    """Read along on a socket, and come back where it is closed, until it is over; returns all that came."""
    seen, cursor = "", ""
    while True:
        with site.open() as connection:
            connection.send(f'{{"cursor": "{cursor}"}}')
            last = is_over.is_set()
            try:
                seen += read_until(connection, 'data-state="connected"')
                while not last and not is_over.is_set():
                    seen += str(connection.recv())
            except ConnectionClosed as closed:
                assert closed.rcvd
                assert closed.rcvd.code == 1012
        cursor = re.findall(r'id="cursor"[^>]*value="([^"]*)"', seen)[-1]
        if last:
            return seen


def test_a_rolling_restart_loses_nothing_and_nobody_is_told_no(
    tmp_path: Path, servers: list[Server], site: Site, postgres: Cluster, postgres_url: str
) -> None:
    units, is_over, is_quiet = Units(servers), threading.Event(), threading.Event()
    with ThreadPoolExecutor() as pool:
        listening = pool.submit(listen, site, is_quiet)
        talking = [pool.submit(talk, site, f"talker-{number}", is_over) for number in range(TALKERS)]
        said = roll(tmp_path, units)
        is_over.set()
        spoken = [text for each in talking for text in each.result()]
        is_quiet.set()
        seen = listening.result()
    assert units.restarted == [f"parlor@{server.port}.service" for server in servers]
    assert said.count("is ready") == 2
    stored = postgres.sql("SELECT body FROM messages", postgres_url.rpartition("/")[2])
    assert sorted(stored) == sorted(spoken)
    shown = re.findall(r"talker-\d+-\d+(?=<)", seen)
    assert sorted(shown) == sorted(spoken)


def test_a_process_that_does_not_come_back_ends_it(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\n[ $1 = restart ] || echo parlor@1.service\necho parlor@2.service\n")
    (tmp_path / "systemctl").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(["sh", SCRIPT, "1"], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr == "parlor@1.service is not ready; the others still run as before\n"


# A process that dies with a request in its hands


class Silent:
    """A process that takes requests and never answers: it closes."""

    def __init__(self) -> None:
        self.taken = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._take_all)
        self._thread.start()

    def end(self) -> None:
        """Take nothing more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def _take_all(self) -> None:
        with suppress(OSError):  # when it ends
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    self.taken += bool(connection.recv(65_536))


@pytest.fixture
def silent() -> Iterator[Silent]:
    silent = Silent()
    yield silent
    silent.end()


@pytest.fixture
def half(tmp_path: Path, silent: Silent) -> Iterator[Site]:
    """nginx in front of a process that serves, and one that falls silent; nginx holds nothing against it."""
    with (
        application(tmp_path) as port,
        nginx(tmp_path, f"127.0.0.1:{port}", silent.host) as found,
    ):
        yield found


def become(site: Site, name: str) -> tuple[str, int]:
    """Become a member, however often it takes; returns the cookie, and how often there was no answer."""
    for failed in count():
        with site.client() as client:
            answer = client.post("/name", data={"name": name})
        if answer.status_code == HTTPStatus.SEE_OTHER:
            return "; ".join(f"{cookie}={value}" for cookie, value in answer.cookies.items()), failed
        assert answer.status_code == HTTPStatus.BAD_GATEWAY
    raise AssertionError("count() has an end")


@pytest.mark.breaks("deploy/nginx/parlor-locations.conf", " non_idempotent", "")
def test_a_message_that_fell_into_silence_is_given_to_another_process(half: Site, silent: Silent) -> None:
    cookie, _ = become(half, "Ann")
    before = silent.taken
    with half.client() as client:
        for number in range(8):
            text = f"message number {number}"
            answer = client.post(
                "/rooms/lobby/messages", data={"message": text, "key": f"key-{number}"}, headers={"Cookie": cookie}
            )
            assert answer.status_code == HTTPStatus.SEE_OTHER
        assert silent.taken > before
        assert re.findall(r"message number \d", client.get("/").text) == [f"message number {n}" for n in range(8)]


def test_single_parameters_are_not_repeated(half: Site, silent: Silent) -> None:
    failed = sum(become(half, f"member {number}")[1] for number in range(8))
    assert failed == silent.taken > 0


def test_a_socket_that_fell_into_silence_is_opened_at_another_process(half: Site, silent: Silent) -> None:
    for _ in range(8):
        with half.resume():
            pass
    assert silent.taken > 0
