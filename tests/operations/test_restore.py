"""Restoring: what is damaged or foreign never takes the place of a log, and an old log is never lost by it."""

import re
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Connection, select, update

from app.operations import pg_dump
from app.operations.commands import alone
from app.store import migrations
from app.store.tables import log
from app.web.keys import read_keys
from tests.operating import bodies, parlor, sqlite_url, talk
from tests.postgres import Cluster
from tests.server import serving


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, data: Path) -> str:
    """The address of an empty database of each engine."""
    found: str = sqlite_url(data) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "parlor.backup"


def test_after_a_restore_the_log_is_that_of_the_backup_with_another_epoch(url: str, data: Path, file: Path) -> None:
    epoch = talk(url, ["one", "two"])
    assert parlor(data, "backup", file, database_url=url).done
    assert file.stat().st_mode & 0o777 == 0o600
    talk(url, ["three"], "Bob")
    said = parlor(data, "restore", file, database_url=url).done
    assert "2 messages, 1 room, 1 member" in said
    assert bodies(url) == ["one", "two"]
    renewed = talk(url, ["four"], "Bob")
    assert renewed != epoch and renewed in said
    assert bodies(url) == ["one", "two", "four"]


def test_a_restore_without_an_old_database_needs_no_place_for_one(url: str, data: Path, file: Path) -> None:
    talk(url)
    parlor(data, "backup", file, database_url=url)
    for path in data.glob("parlor.db*"):
        path.unlink()
    said = parlor(data, "restore", file, database_url=sqlite_url(data / "new") if "sqlite" in url else url).done
    assert ("before" in said) == ("postgresql" in url)


def databases(folder: Path) -> list[str]:
    """Return what lies in a folder, without the locks beside databases."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_the_database_that_was_there_is_kept_as_it_was(data: Path, file: Path) -> None:
    talk(sqlite_url(data), ["one"])
    parlor(data, "backup", file)
    talk(sqlite_url(data), ["precious"], "Bob")
    kept = Path(parlor(data, "restore", file).done.split(": the database that was there")[0])
    assert bodies(f"sqlite:///{kept}") == ["one", "precious"]
    assert databases(data) == ["parlor.db", kept.name]
    assert (data / "parlor.db").stat().st_mode & 0o777 == 0o600


def test_the_tables_that_were_there_are_kept_as_they_were(
    postgres: Cluster, postgres_url: str, data: Path, file: Path
) -> None:
    talk(postgres_url, ["one"])
    parlor(data, "backup", file, database_url=postgres_url)
    talk(postgres_url, ["precious"], "Bob")
    said = parlor(data, "restore", file, database_url=postgres_url).done
    found = re.search(r"Schema (\w+)", said)
    assert found
    database = postgres_url.rpartition("/")[2]
    kept = f"SELECT body FROM {found[1]}.messages ORDER BY position"  # noqa: S608
    assert postgres.sql(kept, database) == ["one", "precious"]
    # What was kept aside is no part of the next backup.
    again = file.with_name("again")
    assert parlor(data, "backup", again, database_url=postgres_url).done
    assert found[1].encode() not in again.read_bytes()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is no database of Parlor's"),
        (b"no database", "cannot be read as a SQLite database: file is not a database"),
    ],
)
def test_restoring_an_invalid_backup_changes_nothing(data: Path, file: Path, content: bytes, why: str) -> None:
    talk(sqlite_url(data), ["one"])
    file.write_bytes(content)
    assert why in parlor(data, "restore", file).refusal
    assert bodies(sqlite_url(data)) == ["one"]
    assert databases(data) == ["parlor.db"]


def test_restoring_an_unreadable_dump_changes_nothing(postgres_url: str, data: Path, file: Path) -> None:
    talk(postgres_url, ["one"])
    file.write_bytes(b"no backup")
    assert "pg_restore failed" in parlor(data, "restore", file, database_url=postgres_url).refusal
    assert bodies(postgres_url) == ["one"]


def test_a_backup_that_is_not_there_is_said(url: str, data: Path, file: Path) -> None:
    assert f"There is no backup at {file}" in parlor(data, "restore", file, database_url=url).refusal


def test_a_backup_of_a_newer_parlor_changes_nothing(
    url: str, data: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk(url, ["one"])
    parlor(data, "backup", file, database_url=url)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "revisions", lambda: ("0001",))
        assert "is of a newer Parlor" in parlor(data, "restore", file, database_url=url).refusal
    assert bodies(url) == ["one"]


@pytest.mark.breaks("app/operations/restore.py", "alone(url, partial(_put_back, schema=schema))", "pass")
def test_a_failed_restore_keeps_the_old_database(
    postgres: Cluster, postgres_url: str, data: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = talk(postgres_url, ["one"])
    parlor(data, "backup", file, database_url=postgres_url)
    talk(postgres_url, ["two"], "Bob")

    def load_half(file: Path, url: str) -> None:
        dumps_load(file, url)
        raise KeyboardInterrupt

    dumps_load = pg_dump.load
    monkeypatch.setattr(pg_dump, "load", load_half)
    assert "Interrupted" in parlor(data, "restore", file, database_url=postgres_url).refusal
    assert bodies(postgres_url) == ["one", "two"]
    assert talk(postgres_url, ["three"], "Eve") == epoch
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'before%'"
    assert postgres.sql(schemas, postgres_url.rpartition("/")[2]) == ["0"]


@pytest.mark.breaks(
    "app/operations/restore.py", "with locked(target), draft_of(target) as draft:", "with draft_of(target) as draft:"
)
@pytest.mark.parametrize("words", [("restore", "FILE"), ("renew",)])
def test_a_database_that_is_served_is_left_alone(
    url: str, data: Path, file: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    epoch = talk(url, ["one"])
    assert parlor(data, "backup", file, database_url=url).done
    words = tuple(str(file) if word == "FILE" else word for word in words)
    with serving(tmp_path / "elsewhere", database_url=url) as server:
        assert re.search("A server runs on this database|is open in another process", refusal(data, words, url))
        assert "one" in httpx2.get(server.url).text
        server.stop()
    assert talk(url, ["two"], "Bob") == epoch
    assert parlor(data, *words, database_url=url).done


def refusal(data: Path, words: tuple[str, ...], url: str) -> str:
    """Return why a command is refused."""
    return parlor(data, *words, database_url=url).refusal


def test_another_epoch_by_hand(url: str, data: Path) -> None:
    epoch = talk(url, ["one"])
    said = parlor(data, "renew", database_url=url).done
    renewed = talk(url, ["two"], "Bob")
    assert renewed != epoch and renewed in said
    assert bodies(url) == ["one", "two"]


def test_a_log_that_was_never_served_has_the_epoch_that_was_said(url: str, data: Path) -> None:
    parlor(data, "migrate", database_url=url)
    said = parlor(data, "renew", database_url=url).done
    assert talk(url) in said


def test_renewing_an_invalid_database_is_refused(url: str, data: Path) -> None:
    assert "is no database of Parlor's" in parlor(data, "renew", database_url=url).refusal


@pytest.mark.breaks("app/operations/restore.py", "confirm_unserved(connection)  # one that", "# one that")
def test_a_server_started_during_a_backup_gets_the_old_database(
    postgres_url: str, data: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would know the log by the epoch that it is about to lose."""
    talk(postgres_url, ["one"])
    parlor(data, "backup", file, database_url=postgres_url)
    talk(postgres_url, ["two"], "Bob")
    load = pg_dump.load
    with ExitStack() as stack:

        def load_and_start(file: Path, url: str) -> None:
            load(file, url)
            stack.enter_context(serving(tmp_path / "elsewhere", database_url=url))

        monkeypatch.setattr(pg_dump, "load", load_and_start)
        assert "A server runs" in parlor(data, "restore", file, database_url=postgres_url).refusal
    assert bodies(postgres_url) == ["one", "two"]


def test_a_key_is_restored_where_there_is_none(data: Path, file: Path) -> None:
    talk(sqlite_url(data))
    keys = read_keys(data / "secret.key")
    parlor(data, "backup", file)
    (data / "secret.key").unlink()
    assert f"{data / 'secret.key'}: the key of the backup" in parlor(data, "restore", file).done
    assert read_keys(data / "secret.key") == keys
    assert (data / "secret.key").stat().st_mode & 0o777 == 0o600
    assert "key" not in parlor(data, "restore", file).done.replace(str(data), "")


@pytest.mark.breaks("app/operations/restore.py", "if not here.exists():", "if True:")
def test_a_key_that_is_there_stays_for_the_other_may_have_leaked(data: Path, file: Path) -> None:
    talk(sqlite_url(data))
    read_keys(data / "secret.key")
    parlor(data, "backup", file)
    (data / "secret.key").write_text("the new key\n")
    assert "is another key than the backup's, and stays" in parlor(data, "restore", file).done
    assert read_keys(data / "secret.key") == ["the new key"]


@pytest.mark.parametrize("words", [("backup",), ("restore",)])
def test_without_postgres_programs_the_command_is_said(
    postgres_url: str, data: Path, file: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str]
) -> None:
    talk(postgres_url, ["one"])
    if words == ("restore",):
        parlor(data, "backup", file, database_url=postgres_url)
    monkeypatch.setenv("PATH", str(data))
    secret = postgres_url.replace("@", ":sesame@")
    refusal = parlor(data, *words, file, database_url=secret).refusal
    assert "is not installed here" in refusal and "sesame" not in refusal
    assert bodies(postgres_url) == ["one"]


@pytest.mark.parametrize(
    ("url", "address", "password"),
    [
        ("postgresql://ann:s%40y@db:5432/chat?sslmode=require", "postgresql://ann@db:5432/chat?sslmode=require", "s@y"),
        ("postgresql://ann@a:1,b:2/chat", "postgresql://ann@a:1,b:2/chat", ""),
        ("postgresql:///chat", "postgresql:///chat", ""),
    ],
)
def test_a_password_is_never_on_a_command_line(url: str, address: str, password: str) -> None:
    assert pg_dump.without_password(url) == (address, password)


def keys(url: str, value: str = "") -> str:
    """Return the key in the database, which may be another from now on."""

    def ask(connection: Connection) -> str:
        if value:
            connection.execute(update(log).values({"keys": value}))
        return str(connection.scalar(select(log.c["keys"])))

    return alone(url, ask)


@pytest.mark.breaks("app/operations/restore.py", '.values(keys=before.c["keys"])', '.values(keys=log.c["keys"])')
def test_a_key_in_the_database_is_in_the_backup_and_another_stays(postgres_url: str, data: Path, file: Path) -> None:
    talk(postgres_url)
    keys(postgres_url, "the key")
    assert "key that signs the cookies is in it" in parlor(data, "backup", file, database_url=postgres_url).done
    assert "The key stays" not in parlor(data, "restore", file, database_url=postgres_url).done
    assert keys(postgres_url) == "the key"
    keys(postgres_url, "the new key")
    assert "The key stays" in parlor(data, "restore", file, database_url=postgres_url).done
    assert keys(postgres_url) == "the new key"


def test_into_a_new_database_the_key_is_restored(postgres: Cluster, postgres_url: str, data: Path, file: Path) -> None:
    talk(postgres_url)
    keys(postgres_url, "the key")
    parlor(data, "backup", file, database_url=postgres_url)
    new = postgres.url(postgres.create())
    assert "Schema" not in parlor(data, "restore", file, database_url=new).done
    assert (keys(new), bodies(new)) == ("the key", ["one", "two", "three"])
    postgres.drop(new.rpartition("/")[2])
