"""Backups: whole, of one moment, for their owner alone, and never in the place of something else by accident."""

import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from app.operations import sqlite_file
from app.web.keys import read_keys
from tests.operating import bodies, parlor, sqlite_url, talk
from tests.server import PATIENCE, serving

INDEX = "sqlite_autoindex_messages_1"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a chat in which three things were said."""
    data = tmp_path / "data"
    talk(sqlite_url(data))
    read_keys(data / "secret.key")
    return data


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "parlor.backup"


@pytest.fixture(autouse=True)
def folder(file: Path) -> Path:
    file.parent.mkdir()
    return file.parent


def test_a_backup_is_the_log_and_the_key_for_its_owner_alone(data: Path, file: Path) -> None:
    said = parlor(data, "backup", file).done
    assert "3 messages, 1 room, 1 member" in said and str(file) in said
    key = file.with_name("parlor.backup.key")
    assert {path.name for path in file.parent.iterdir()} == {file.name, key.name}
    assert [path.stat().st_mode & 0o777 for path in (file, key)] == [0o600, 0o600]
    assert key.read_bytes() == (data / "secret.key").read_bytes()
    assert bodies(f"sqlite:///{file}") == ["one", "two", "three"]


def test_a_backup_while_people_talk_has_all_that_had_its_receipt_and_no_gap(tmp_path: Path, file: Path) -> None:
    data = tmp_path / "served"
    with serving(data, messages_burst=100_000, address_messages_burst=100_000) as server:
        cookie = httpx2.post(f"{server.url}/name", data={"name": "Ann"}).headers["set-cookie"].split(";")[0]
        with (
            connect(f"ws://{server.host}/ws", additional_headers={"Cookie": cookie}) as ann,
            ThreadPoolExecutor() as pool,
        ):
            ann.send('{"cursor": ""}')
            for number in count():
                ann.send(json.dumps({"message": f"message {number}", "key": f"key-{number}"}))
                while f"&quot;key-{number}&quot;" not in str(ann.recv(PATIENCE)):
                    pass
                if number == 20:
                    backup = pool.submit(parlor, data, "backup", file)
                elif number > 20 and backup.done():
                    break
        assert backup.result().done and not server.complaints
    saved = bodies(f"sqlite:///{file}")
    assert saved == [f"message {number}" for number in range(len(saved))]
    assert 20 < len(saved) <= number + 1


@pytest.mark.parametrize("there", ["parlor.backup", "parlor.backup.key"])
def test_an_existing_database_stays_unless_replaced(data: Path, file: Path, there: str) -> None:
    occupied = file.with_name(there)
    occupied.write_text("precious")
    assert f"{occupied} is there already" in parlor(data, "backup", file).refusal
    assert occupied.read_text() == "precious" and len(list(file.parent.iterdir())) == 1
    assert parlor(data, "backup", file, "--force").done
    assert bodies(f"sqlite:///{file}") == ["one", "two", "three"]


@pytest.mark.breaks("app/operations/backup.py", "if file.exists() and file.samefile(source):", "if False:")
def test_the_database_is_no_place_for_its_backup(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    for place in (data, tmp_path / "link"):
        assert "is the database itself" in parlor(data, "backup", place / "parlor.db", "--force").refusal


def test_without_a_database_there_is_no_backup(tmp_path: Path, file: Path) -> None:
    assert "There is no database at" in parlor(tmp_path / "empty", "backup", file).refusal
    assert not list(file.parent.iterdir()) and not (tmp_path / "empty").exists()


def test_a_folder_that_is_not_there_is_said(data: Path, tmp_path: Path) -> None:
    assert "No such file or directory" in parlor(data, "backup", tmp_path / "gone" / "file").refusal


@pytest.mark.breaks("app/operations/backup.py", 'sqlite_file.check(draft, f"The copy of {source}")', "pass")
def test_a_copy_that_is_not_whole_is_no_backup(
    data: Path, file: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    copy = sqlite_file.copy

    def copy_badly(source: Path, target: Path) -> None:
        copy(source, target)
        damage(target)

    monkeypatch.setattr(sqlite_file, "copy", copy_badly)
    file.write_text("the backup before")
    assert "is damaged" in parlor(data, "backup", file, "--force").refusal
    assert [path.read_text() for path in file.parent.iterdir()] == ["the backup before"]


@pytest.fixture
def damage() -> Callable[[Path], None]:
    """Change a byte of an index, as a failing disk does."""

    def overwrite(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            (size,) = database.execute("PRAGMA page_size").fetchone()
            (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [INDEX]).fetchone()
        with path.open("r+b") as file:
            file.seek(page * size - 1)  # what came first is at the page's end
            file.write(b"\xff")

    return overwrite


def test_a_key_that_is_set_is_nobody_elses_to_back_up(data: Path, file: Path) -> None:
    said = parlor(data, "backup", file, secret_key="a key that is long enough").done  # noqa: S106
    assert "PARLOR_SECRET_KEY: keep it as well" in said and "long enough" not in said
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_key_that_is_missing_is_said(data: Path, file: Path) -> None:
    (data / "secret.key").unlink()
    assert "There is no key at" in parlor(data, "backup", file).done
