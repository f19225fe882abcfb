"""Several processes that serve one address, as operators start them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import httpx2
import pytest
from uvicorn import Config

from app.__main__ import main
from app.operations.serving import uvicorn_options
from app.operations.workers import Worker
from app.settings import Settings
from tests.server import PATIENCE, ROOT, Server
from tests.ways import needs_our_protocols

pytestmark = needs_our_protocols


class Together(Server):
    """Two processes."""

    def command(self) -> list[str]:
        """Return how they are started."""
        return [*super().command(), "--workers", "2"]

    def said(self, what: str) -> int:
        """Return how many processes have told of a "start" or "stop"."""
        return sum(f"event='{what}'" in line for line in self.log)

    def expect(self, what: str, count: int) -> None:
        """Return when so many processes have told of it."""
        until(lambda: self.said(what) == count, self.log)

    @property
    def processes(self) -> set[int]:
        """The numbers of those that serve."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return {int(pid) for pid in children if "multiprocessing.spawn" in command_of(int(pid))}


@pytest.fixture
def server(tmp_path: Path, postgres_url: str) -> Iterator[Together]:
    server = Together(tmp_path, database_url=postgres_url)
    server.start()
    try:
        server.expect("start", 2)
        yield server
        if server.running:
            stop(server)
    finally:
        for pid in {*server.processes, server.pid} if server.running else ():
            os.kill(pid, signal.SIGKILL)


def command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def stop(server: Together) -> None:
    """Stop all, and see that nobody is left."""
    left = server.processes
    server.stop()
    assert not [pid for pid in left if command_of(pid)]


def until(condition: Callable[[], bool], log: Sequence[str] = ()) -> None:
    """Return when `condition` is true; where that takes too long, say what is in the `log`."""
    end = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < end, "\n".join(log)
        sleep(0.02)


def test_each_says_where_it_listens_and_when_it_stops(server: Together) -> None:
    assert len(server.processes) == 2
    assert {line.partition("url=")[2].split()[0] for line in server.log} == {f"'{server.url}'"}
    assert httpx2.get(server.url).status_code == 200
    stop(server)
    assert server.said("stop") == 2
    assert server.complaints == []


def test_a_dead_worker_is_replaced(server: Together) -> None:
    before = server.processes
    os.kill(min(before), signal.SIGKILL)
    server.expect("start", 3)
    assert len(server.processes) == 2
    assert server.processes - before
    assert httpx2.get(server.url).status_code == 200


def test_they_are_replaced_one_by_one_and_nobody_is_turned_away(server: Together) -> None:
    before = server.processes
    answers = set()

    def stopped(count: int) -> bool:
        answers.add(httpx2.get(server.url).status_code)
        return server.said("stop") == count

    os.kill(server.pid, signal.SIGHUP)
    until(lambda: stopped(1), server.log)
    until(lambda: stopped(2), server.log)
    assert answers == {200}
    until(lambda: len(server.processes) == 2, server.log)
    assert server.said("start") == 4
    assert not server.processes & before
    assert server.complaints == []


def halted_successor(server: Together) -> int:
    """Have the first process replaced, by one that gets no time of the processor; returns its number."""
    before = server.processes
    os.kill(server.pid, signal.SIGHUP)
    until(lambda: bool(server.processes - before), server.log)
    (successor,) = server.processes - before
    os.kill(successor, signal.SIGSTOP)
    return successor


@pytest.mark.breaks("app/operations/workers.py", "self.keep_subprocess_alive()", "pass")
def test_a_worker_that_dies_during_a_replacement_is_replaced(server: Together) -> None:
    before = server.processes
    successor = halted_successor(server)
    os.kill(max(before), signal.SIGKILL)
    server.expect("start", 3)
    os.kill(successor, signal.SIGCONT)
    server.expect("start", 5)
    server.expect("stop", 2)
    assert server.complaints == []


@pytest.mark.breaks("app/operations/workers.py", "or self._is_told_to_stop()", "")
def test_all_stop_though_a_successor_does_not_start(server: Together) -> None:
    halted_successor(server)
    stop(server)
    assert server.said("stop") == 2
    assert server.complaints == []


@pytest.fixture
def starting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A process that has only begun to read its modules, and gets no further."""
    monkeypatch.setenv("PARLOR_DATA_DIR", str(settings.data_dir))
    worker = Worker(Config("app.main:app", **uvicorn_options(settings)), [])
    worker.start()
    assert worker.pid
    os.kill(worker.pid, signal.SIGSTOP)
    yield worker
    worker.kill()
    worker.join()


@pytest.mark.breaks("app/operations/workers.py", "not self._has_begun() or ", "")
def test_a_slow_start_is_not_taken_for_a_hang(starting: Worker) -> None:
    assert starting.pid
    assert starting.is_alive(timeout=0)
    assert not starting.is_ready(timeout=0)
    os.kill(starting.pid, signal.SIGCONT)
    until(lambda: starting.is_ready(timeout=PATIENCE))
    assert starting.is_alive(timeout=PATIENCE)
    os.kill(starting.pid, signal.SIGSTOP)
    until(lambda: not starting.is_alive(timeout=0))


def test_a_worker_that_dies_while_starting_is_noticed(starting: Worker) -> None:
    starting.process.kill()
    starting.join()
    assert not starting.is_alive(timeout=0)
    assert not starting.is_ready(timeout=0)


def test_a_database_that_is_not_there_ends_all_with_a_sentence(tmp_path: Path) -> None:
    environment = os.environ | {
        "PARLOR_DATA_DIR": str(tmp_path),
        "PARLOR_DATABASE_URL": "postgresql://127.0.0.1:1/parlor",
        "PARLOR_PORT": "0",
    }
    command = [sys.executable, "-m", "app", "serve", "--workers", "2"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 1
    assert "Parlor cannot start" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_sqlite_has_one_process_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLOR_DATA_DIR", str(tmp_path))
    assert main(["serve", "--workers", "2"]) == 2
    assert "SQLite serves one process" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_so_many_processes_cannot_be(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--workers", workers])
    assert "--workers: invalid count value" in capsys.readouterr().err
