"""The real server, as operators start it: its one line, restarts, stops, and browsers that take nothing."""

import gc
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import httpx2
import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.__main__ import main
from app.main import create_app
from app.operations.serving import calm_collector
from app.settings import Settings
from app.web.keys import read_keys
from tests.server import PATIENCE, ROOT, Server, serving
from tests.ways import needs_our_log, needs_our_protocols


def become(server: Server, name: str) -> str:
    """Become a member and return their cookie."""
    answer = httpx2.post(f"{server.url}/name", data={"name": name})
    return answer.headers["set-cookie"].split(";")[0]


@contextmanager
def browser(server: Server, cookie: str = "", cursor: str = "") -> Iterator[ClientConnection]:
    headers = {"Cookie": cookie} if cookie else {}
    with connect(f"ws://{server.host}/ws/lobby", additional_headers=headers, open_timeout=PATIENCE) as socket:
        socket.send(json.dumps({"cursor": cursor}))
        yield socket


def read_until(socket: ClientConnection, part: str) -> str:
    """Return all that comes, up to the frame that has `part` in it."""
    html = ""
    while part not in html:
        html += str(socket.recv(timeout=PATIENCE))
    return html


def close_code(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            socket.recv(timeout=PATIENCE)
    received = closed.value.rcvd
    return received.code if received else 1006


@needs_our_log
def test_it_says_where_it_listens_in_one_line(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert httpx2.get(f"{server.url}/healthz").text == "alive\n"
        assert len(server.log) == 1
        assert server.url in server.log[0]


@needs_our_protocols
def test_a_second_process_on_the_same_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with serving(tmp_path):
        second = Server(tmp_path)
        with pytest.raises(RuntimeError, match=r"Parlor cannot start: .*parlor\.db is open in another process"):
            second.start()
    assert not [line for line in second.log if "Traceback" in line]
    second.start()
    second.stop()


@needs_our_protocols
def test_a_database_of_a_newer_release_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "parlor.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    older = Server(tmp_path)
    with pytest.raises(RuntimeError, match="Parlor cannot start: A newer Parlor has migrated the database"):
        older.start()
    assert not [line for line in older.log if "Traceback" in line]


@needs_our_log
def test_the_log_has_no_message_texts(tmp_path: Path) -> None:
    with serving(tmp_path, log_format="text") as server:
        with browser(server, become(server, "Ann")) as ann:
            read_until(ann, "connected")
            ann.send(json.dumps({"message": "a secret", "key": "k"}))
            read_until(ann, "message-1")
        server.stop()
        events = [found[1] for line in server.log if (found := re.search(r"event='([^']*)'", line))]
        assert events == ["start", "named", "stop"]
        assert "a secret" not in "".join(server.log) and "Ann" not in "".join(server.log)


@pytest.mark.ways
def test_a_stop_closes_with_1012_and_a_restart_loses_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        cookie = become(server, "Ann")
        with browser(server, cookie) as ann:
            cursor = re.findall(r'value="([^"]+:\d+)"', read_until(ann, "connected"))[-1]
            ann.send(json.dumps({"message": "first words", "key": "1"}))
            read_until(ann, "message-1")
            server.stop()
            assert close_code(ann) == 1012
        server.start()
        with browser(server, cookie, cursor) as ann:
            assert "first words" in read_until(ann, "connected")
            ann.send(json.dumps({"message": "after", "key": "2"}))
            read_until(ann, "message-2")
            # The same submission as before the restart is still the same message.
            ann.send(json.dumps({"message": "first words", "key": "1"}))
            ann.send(json.dumps({"message": "the end", "key": "3"}))
            assert "first words" not in read_until(ann, "message-3")


@needs_our_protocols
@pytest.mark.breaks("app/operations/serving.py", "await self._drain()", "pass")
def test_a_stopping_process_is_not_ready_and_serves_while_draining(tmp_path: Path) -> None:
    with serving(tmp_path, drain_seconds=300) as server, browser(server, become(server, "Ann")) as ann:
        read_until(ann, "connected")
        assert httpx2.get(f"{server.url}/readyz").is_success
        server.tell(signal.SIGTERM)
        while httpx2.get(f"{server.url}/readyz").is_success:
            pass
        assert httpx2.get(f"{server.url}/healthz").is_success
        ann.send(json.dumps({"message": "still here", "key": "1"}))
        read_until(ann, "message-1")
        server.tell(signal.SIGINT)  # and no longer
        assert close_code(ann) == 1012


def test_a_power_cut_loses_nothing_that_had_its_receipt(tmp_path: Path) -> None:
    with serving(tmp_path, messages_burst=1000) as server:
        cookie = become(server, "Ann")
        with browser(server, cookie) as ann:
            read_until(ann, "connected")
            for number in range(50):
                ann.send(json.dumps({"message": f"message {number}", "key": f"key-{number}"}))
            read_until(ann, "&quot;key-20&quot;")
            server.kill()
        server.start()
        with browser(server, cookie) as ann:
            html = read_until(ann, "connected")
            positions = list(map(int, re.findall(r'id="message-(\d+)"', html)))
            assert len(positions) >= 21
            assert positions == list(range(1, len(positions) + 1))


# Who talks may say a great deal, and who takes none of it is soon cut off.
LONG = {"messages_burst": 10_000, "address_messages_burst": 10**6, "message_length": 20_000, "stall_seconds": 0.5}


def test_a_stalled_reader_is_cut_off_and_others_notice_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, **LONG) as server:
        cookie = become(server, "Ann")
        with browser(server, cookie) as ann, stalled(server) as sleeper:
            read_until(ann, "connected")
            # Quotes, since each takes five characters of HTML: the system's own buffers are large.
            for number in range(200):
                ann.send(json.dumps({"message": '"' * 20_000, "key": f"key-{number}"}))
                read_until(ann, f'id="message-{number + 1}"')
                if any("cut off" in line for line in server.log):
                    break
            else:
                pytest.fail("the one that takes nothing was never cut off")
            # It has been dropped: what is on its way comes to an end.
            with suppress(ConnectionResetError):
                while sleeper.recv(1_000_000):
                    pass
            figures = httpx2.get(f"{server.url}/metrics").text
            assert re.search(r'parlor_connections_cut_total\{reason="(stalled|outbox)"\} 1\.0', figures)
            ann.send(json.dumps({"message": "still here", "key": "last"}))
            read_until(ann, "still here")


@needs_our_protocols
@pytest.mark.breaks(
    "app/web/sockets.py", "asyncio.get_running_loop().call_later(CLOSE_SECONDS, transport.abort)", "pass"
)
def test_a_stalled_connection_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its socket is dropped though it never reads again.

    By ASGI alone a server can only close it, and wait for it to take what was written before: that is up to the system.
    """
    with serving(tmp_path, **LONG) as server, browser(server, become(server, "Ann")) as ann:
        read_until(ann, "connected")
        sockets = server.open_sockets
        with stalled(server):
            assert server.open_sockets == sockets + 1
            for number in count():
                ann.send(json.dumps({"message": '"' * 20_000, "key": f"key-{number}"}))
                read_until(ann, f'id="message-{number + 1}"')
                if server.open_sockets == sockets:
                    break


@contextmanager
def stalled(server: Server) -> Iterator[socket.socket]:
    """Open a socket that resumes and then reads nothing at all."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as raw:
        raw.sendall(
            f"GET /ws/lobby HTTP/1.1\r\nHost: {server.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b"101 " in raw.recv(512)
        frame = b'{"cursor": ""}'
        raw.sendall(bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)  # a text frame, masked with zeros
        yield raw


def test_a_frame_beyond_all_measure_closes_its_own_connection_alone(tmp_path: Path) -> None:
    with serving(tmp_path) as server, browser(server) as one, browser(server) as another:
        read_until(another, "connected")
        one.send("x" * 2_000_000)
        assert close_code(one) == 1009
        another.send("nonsense")
        read_until(another, "JSON")


def test_uvicorn_serves_it_as_well(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "PARLOR_DATA_DIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        with process.stderr as lines:
            port = next(int(found[1]) for line in lines if (found := re.search(r"http://127.0.0.1:(\d+)", line)))
            with connect(f"ws://127.0.0.1:{port}/ws") as socket:
                socket.send('{"cursor": ""}')
                read_until(socket, "connected")
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_settings_that_cannot_be_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("PARLOR_ALLOWED_ORIGINS", "*")
    assert main(["serve"]) == 2
    complaint = capsys.readouterr().err
    assert "PORT: " in complaint and "PARLOR_ALLOWED_ORIGINS: " in complaint and "Traceback" not in complaint


def test_the_key_and_the_database_are_in_the_data_folder(tmp_path: Path) -> None:
    with serving(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} >= {"parlor.db", "secret.key"}
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_set_needs_no_file(tmp_path: Path) -> None:
    create_app(Settings(data_dir=tmp_path, secret_key="a key of our own, long enough"))  # noqa: S106
    assert not list(tmp_path.iterdir())


@pytest.mark.breaks("app/web/keys.py", "if is_open_to_others(settings.key_file)", "if False")
def test_a_start_with_a_key_that_others_can_read_says_so(settings: Settings) -> None:
    read_keys(settings.key_file)
    for mode, warnings in ((0o600, 0), (0o644, 1)):
        settings.key_file.chmod(mode)
        with capture_logs() as logs:
            create_app(settings)
        assert [entry["log_level"] for entry in logs] == ["warning"] * warnings


def test_the_collector_skips_objects_from_the_start() -> None:
    thresholds = gc.get_threshold()
    try:
        calm_collector()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() > thresholds
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
