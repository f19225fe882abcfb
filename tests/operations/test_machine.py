"""What the doctor sees of a machine."""

import errno
import os
import re
import resource
import shutil
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from app.operations.doctor import machine
from app.operations.doctor.checks import Verdict
from app.settings import Settings
from tests.server import serving

ROOT = Path(__file__).parent.parent.parent


def test_a_folder_that_can_be_written_to_is_fine(tmp_path: Path) -> None:
    assert [finding.verdict for finding in machine.folder(tmp_path)] == [Verdict.OK] * 2
    assert "it can be made" in next(machine.folder(tmp_path / "new" / "deep")).seen


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert [finding.verdict for finding in machine.folder(tmp_path / "file")] == [Verdict.WRONG]


def test_a_folder_that_cannot_be_written_to_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert [finding.verdict for finding in machine.folder(tmp_path)] == [Verdict.WRONG]


@pytest.mark.parametrize(("free", "verdict"), [(2**40, "ok"), (2**29, "warning"), (2**20, "wrong")])
def test_free_space_is_seen(free: int, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert machine.free_space(tmp_path).verdict == verdict


@pytest.mark.parametrize(
    ("path", "kind", "verdict"),
    [
        ("/srv/chat room/data", "nfs4", "warning"),
        ("/srv/other", "ext4", "ok"),
        ("/home/data", "fuse.sshfs", "warning"),
    ],
)
def test_a_network_file_system_is_warned_of(
    path: str, kind: str, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "40 22 0:40 / /srv/chat\\040room rw shared:9 - ext3 /dev/sdb1 rw\n"
        "41 22 0:41 / /srv/chat\\040room rw shared:9 - nfs4 server:/chat rw\n"
        "42 22 0:42 / /home rw - fuse.sshfs host: rw\n"
    )
    monkeypatch.setattr(machine, "MOUNTS", mounts)
    monkeypatch.setattr(machine, "nearest", lambda path: path)
    finding = machine.file_system(Path(path))
    assert finding.verdict == verdict and f"({kind})" in finding.seen


def test_missing_kernel_figures_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOUNTS", tmp_path / "gone")
    assert machine.file_system(tmp_path).verdict == Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("content", "mode", "verdict"),
    [(None, 0, "ok"), ("a key", 0o600, "ok"), ("a key", 0o644, "wrong"), ("\n", 0o600, "wrong")],
)
def test_the_key_is_looked_at(content: str | None, mode: int, verdict: str, settings: Settings) -> None:
    if content is not None:
        settings.key_file.write_text(content)
        settings.key_file.chmod(mode)
    assert machine.key(settings).verdict == verdict


def test_a_key_that_is_lost_is_warned_of(settings: Settings) -> None:
    (settings.data_dir / "parlor.db").touch()
    assert machine.key(settings).verdict == Verdict.WARNING


def test_a_key_in_the_database_needs_no_file(settings: Settings) -> None:
    shared = settings.model_copy(update={"database_url": "postgresql:///parlor"})
    assert "in the database" in machine.key(shared).seen


def test_a_key_that_is_set_needs_no_file(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "gone", secret_key=SecretStr("long enough for a key"))
    assert "PARLOR_SECRET_KEY" in machine.key(settings).seen and "long enough" not in machine.key(settings).seen


def test_the_doctor_checks_vendored_files(tmp_path: Path) -> None:
    for name in machine.VENDOR[1:]:
        (tmp_path / name).touch()
    finding = machine.vendor(tmp_path)
    assert finding.verdict == Verdict.WRONG and machine.VENDOR[0] in finding.seen and finding.remedy == "make install"
    (tmp_path / machine.VENDOR[0]).touch()
    assert machine.vendor(tmp_path).verdict == Verdict.OK


def test_it_is_what_pages_load() -> None:
    loaded = re.findall(r"/vendor/([\w.-]+)", (ROOT / "templates" / "room.html").read_text())
    assert sorted(loaded) == sorted(machine.VENDOR)


@pytest.mark.parametrize(
    ("most", "verdict"), [(1024, "warning"), (machine.ENOUGH_FILES, "ok"), (resource.RLIM_INFINITY, "ok")]
)
def test_the_limit_of_open_files_is_seen(most: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, most))
    assert [finding.verdict for finding in machine.open_files()] == [verdict]


def test_a_server_of_ours_is_known_at_its_port(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        finding = machine.port(Settings(port=server.port))
        assert finding.verdict == Verdict.OK and "is ready" in finding.seen
        server.stop()
        finding = machine.port(Settings(port=server.port))
        assert finding.verdict == Verdict.OK and "is free" in finding.seen


def test_any_free_port_is_free() -> None:
    assert machine.port(Settings(port=0)).verdict == Verdict.OK


class Other(BaseHTTPRequestHandler):
    """Another program, or a server of ours that cannot reach its store."""

    answers: dict[str, bytes]

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answers.get(self.path, b"hello"))

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("answers", "seen"), [({}, "another program answers"), ({"/healthz": b"alive\n"}, "is alive and cannot serve")]
)
def test_a_wrong_answer_is_reported(answers: dict[str, bytes], seen: str) -> None:
    with HTTPServer(("127.0.0.1", 0), type("Answering", (Other,), {"answers": answers})) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        finding = machine.port(Settings(port=server.server_port))
        server.shutdown()
        thread.join()
    assert finding.verdict == Verdict.WRONG and seen in finding.seen


def test_a_missing_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "WAIT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        finding = machine.port(Settings(port=silent.getsockname()[1]))
    assert finding.verdict == Verdict.WRONG and "does not answer" in finding.seen


def test_an_address_that_is_not_of_this_machine_is_wrong() -> None:
    finding = machine.can_listen("192.0.2.1", 8000)
    assert finding.verdict == Verdict.WRONG and os.strerror(errno.EADDRNOTAVAIL) in finding.seen


def test_trust_in_everybody_is_warned_of() -> None:
    assert machine.proxies(Settings(trusted_proxies="*")).verdict == Verdict.WARNING
    assert machine.proxies(Settings()).verdict == Verdict.OK


def test_a_chat_without_a_name_is_warned_of() -> None:
    assert machine.names(Settings()).verdict == Verdict.WARNING
    assert machine.names(Settings(allowed_hosts=("chat.example.org",))).verdict == Verdict.OK
