"""Parlor as the world sees it: behind nginx with the site of deploy/nginx.

Of the site only ports and paths are replaced, and the processes are named; without a certificate also the lines that
need one go.
"""

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
SITE = (DEPLOY / "nginx" / "parlor.conf").read_text()
LOCATIONS = (DEPLOY / "nginx" / "parlor-locations.conf").read_text()
PROCESSES = "\n".join(re.findall(r"^ *#?server [0-9.:]+ .*;$", SITE, re.MULTILINE))  # the lines that name them

NAME = "chat.example.org"
NGINX = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
SECONDS = 20.0  # for anything that is waited for


@dataclass(frozen=True)
class Site:
    """Parlor as the world sees it."""

    port: int
    redirecting_port: int  # plain HTTP, which only leads to the other
    tls: ssl.SSLContext | None = None

    @property
    def origin(self) -> str:
        """Return where its pages come from, as a browser would say it."""
        return f"{'https' if self.tls else 'http'}://{NAME}"

    def client(self, address: str = "127.0.0.1") -> httpx2.Client:
        """Return an HTTP client that calls from `address`."""
        return httpx2.Client(
            base_url=f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}",
            headers={"Host": NAME, "Origin": self.origin},
            transport=httpx2.HTTPTransport(local_address=address, verify=self.tls or ssl.create_default_context()),
            timeout=SECONDS,
        )

    def join(self, name: str) -> str:
        """Become a member; returns the cookie."""
        with self.client() as client:
            answer = client.post("/name", data={"name": name})
            assert answer.status_code == HTTPStatus.SEE_OTHER
            return "; ".join(f"{cookie}={value}" for cookie, value in answer.cookies.items())

    def open(self, address: str = "127.0.0.1", origin: str = "", **headers: str) -> ClientConnection:
        """Open the lobby's socket."""
        return connect(
            f"{'wss' if self.tls else 'ws'}://{NAME}/ws/lobby",
            sock=socket.create_connection(("127.0.0.1", self.port), SECONDS, (address, 0)),
            ssl=self.tls,
            origin=Origin(origin or self.origin),
            additional_headers={name.replace("_", "-"): value for name, value in headers.items()},
            open_timeout=SECONDS,
            proxy=None,
        )

    @contextmanager
    def resume(self, address: str = "127.0.0.1", **headers: str) -> Iterator[ClientConnection]:
        """Open the lobby's socket, and have its page completed."""
        with self.open(address, **headers) as connection:
            connection.send('{"cursor": ""}')
            read_until(connection, 'data-state="connected"')
            yield connection


def read_until(connection: ClientConnection, *marks: str) -> str:
    """Return the frames up to the one with which all `marks` were seen."""
    text = ""
    while not all(mark in text for mark in marks):
        text += str(connection.recv(SECONDS))
    return text


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Return as soon as `condition` holds; tell what `process` said if it never does."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{process.args!r} did not start:\n{log.read_text()}")
        time.sleep(0.02)


@contextmanager
def running(log: Path, command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, and stop it at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@contextmanager
def application(folder: Path, **settings: str) -> Iterator[int]:
    """Run Parlor as an operator does, on any free port; gives the port."""
    inherited = {name: value for name, value in os.environ.items() if name != "PORT" and not name.startswith("PARLOR_")}
    chosen = {"PARLOR_DATA_DIR": str(folder / "data"), "PARLOR_PORT": "0", "PARLOR_ALLOWED_HOSTS": NAME, **settings}
    log = folder / "parlor.log"
    with running(log, [sys.executable, "-m", "app", "serve"], inherited | chosen) as process:
        until(lambda: "http://127.0.0.1:" in log.read_text(), process, log)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
        assert found
        port = int(found[1])
        until(lambda: httpx2.get(f"http://127.0.0.1:{port}/readyz").is_success, process, log)
        yield port


@contextmanager
def nginx(folder: Path, *processes: str, certificate: Path | None = None) -> Iterator[Site]:
    """Run nginx with our site in front of `processes`, each as host and port."""
    if NGINX is None:
        missing = "nginx is not installed, so that the site in deploy/nginx cannot be tried"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    tls = ssl.create_default_context(cafile=certificate) if certificate else None
    site = Site(free_port(), free_port(), tls)
    locations = folder / "parlor-locations.conf"
    locations.write_text(replaced(LOCATIONS, {"/opt/parlor/": f"{ROOT}/"}))
    site_text = replaced(
        re.sub(r"^ *listen \[::\].*\n", "", SITE, flags=re.MULTILINE),  # not every machine has IPv6
        {
            PROCESSES: "\n".join(PROCESSES.splitlines()[0].replace("127.0.0.1:8000", each) for each in processes),
            "listen 80;": f"listen 127.0.0.1:{site.redirecting_port};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{site.port}{' ssl http2' if tls else ''};",
            f"/etc/letsencrypt/live/{NAME}/": f"{folder}/",
            "/var/www/html": str(folder / "challenges"),
            "/opt/parlor/deploy/nginx/parlor-locations.conf": str(locations),
        },
    )
    if not tls:
        site_text = re.sub(r"^ *ssl_.*\n", "", site_text, flags=re.MULTILINE)
    (folder / "site.conf").write_text(site_text)
    folders = "".join(
        f"{kind}_temp_path {folder}/temp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        # One process: workers would run as nobody, who cannot read a test's folder.
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;\n"
        f"events {{ worker_connections 4096; }}\nhttp {{ access_log off; {folders} include {folder}/site.conf; }}\n"
    )
    log = folder / "nginx.log"
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with running(log, command, dict(os.environ)) as process:
        until(lambda: listens(site.port) and listens(site.redirecting_port), process, log)
        yield site


def replaced(text: str, changes: dict[str, str]) -> str:
    """Return `text` with all `changes`, none of which may be in vain."""
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
