"""The examination as a whole, and of the database: what is wrong is found, and what mends it is said."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from app.operations.doctor import doctor, postgres
from app.operations.doctor.checks import Check, Verdict, ok, status, unknown, warning, wrong
from app.settings import Settings
from app.store import migrations
from tests.operating import bodies, parlor, sqlite_url, talk
from tests.postgres import DURABLE, Cluster, running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def line(said: str, part: str) -> str:
    """Return the one line with `part` in it."""
    (found,) = [line for line in said.splitlines() if part in line]
    return found


def test_a_chat_that_is_well_has_nothing_wrong(data: Path) -> None:
    talk(sqlite_url(data))
    said = parlor(data, "doctor", port=0, allowed_hosts="chat.example.org").done
    assert {text.split()[0] for text in said.splitlines()} <= {"ok", "warning"}
    for part in ("quick_check", "journal mode is wal", "newest revision", "epoch is", "3 messages, 1 room, 1 member"):
        assert line(said, part).startswith("ok ")


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(data: Path) -> None:
    assert "made at the first start" in parlor(data, "doctor", port=0).done
    assert not data.exists()


def test_it_changes_nothing(data: Path) -> None:
    talk(sqlite_url(data))
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    parlor(data, "doctor", port=0)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before


@pytest.mark.parametrize(
    ("statement", "part", "verdict"),
    [
        ("UPDATE rooms SET position = position + 1", "messages are missing in lobby", "wrong"),
        ("DELETE FROM messages WHERE position = 2", "messages are missing in lobby", "wrong"),
        ("INSERT INTO log (epoch) VALUES ('other')", "2 epochs", "wrong"),
        ("UPDATE alembic_version SET version_num = '9999'", "a newer Parlor", "wrong"),
        ("UPDATE alembic_version SET version_num = '0001'", "at revision 0001", "warning"),
        ("DROP TABLE alembic_version", "no tables yet", "warning"),
        ("PRAGMA journal_mode=DELETE", "its journal mode is delete", "warning"),
    ],
)
def test_errors_in_the_compose_file_are_found(data: Path, statement: str, part: str, verdict: str) -> None:
    talk(sqlite_url(data))
    with closing(sqlite3.connect(data / "parlor.db", isolation_level=None)) as database:
        database.execute(statement)
    ended = parlor(data, "doctor", port=0)
    assert line(ended.out, part).startswith(verdict) and ended.status == (verdict == "wrong")


def test_a_file_that_is_no_database_is_wrong(data: Path) -> None:
    data.mkdir()
    (data / "parlor.db").write_bytes(b"nonsense" * 1000)
    ended = parlor(data, "doctor", port=0)
    assert ended.status == 1 and line(ended.out, "cannot be read").startswith("wrong")


def test_an_inconclusive_check_has_status_2(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Settings) -> list[Check]:
        raise PermissionError("not for you")

    monkeypatch.setattr(doctor, "EXAMINATIONS", (fail, lambda _: [ok("the rest is looked at all the same.")]))
    ended = parlor(data, "doctor")
    assert ended.status == 2 and line(ended.out, "not for you").startswith("unknown")
    assert "the rest is looked at" in ended.out


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([], 0),
        ([ok(""), warning("", "")], 0),
        ([ok(""), unknown("", "")], 2),
        ([unknown("", ""), wrong("", ""), ok("")], 1),
    ],
)
def test_the_exit_status_is_that_of_the_worst(findings: list[Check], expected: int) -> None:
    assert status(findings) == expected


# PostgreSQL


def test_a_server_that_is_well_has_nothing_wrong(data: Path) -> None:
    with running(**DURABLE) as cluster:
        url = cluster.url(cluster.create())
        talk(url)
        said = parlor(data, "doctor", port=0, database_url=url).done
    for part in ("PostgreSQL 1", "the primary", "on the disk", "UTF8", "clock", "queue", "notifications arrive"):
        assert line(said, part).startswith("ok ")
    assert "3 messages, 1 room, 1 member" in said


def test_a_server_that_cannot_be_reached_is_wrong(postgres_url: str, data: Path) -> None:
    for url in ("postgresql://ann:sesame@127.0.0.1:1/chat", f"{postgres_url}_not"):
        ended = parlor(data, "doctor", port=0, database_url=url)
        assert ended.status == 1 and line(ended.out, "cannot be reached").startswith("wrong")
        assert "sesame" not in ended.out


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("synchronous_commit = off", "synchronous_commit is off"),
        ("default_transaction_read_only = on", "may only be read"),
    ],
)
def test_a_server_that_breaks_promises_is_wrong(
    postgres: Cluster, postgres_url: str, data: Path, setting: str, part: str
) -> None:
    postgres.sql(f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET {setting}")
    ended = parlor(data, "doctor", port=0, database_url=postgres_url)
    assert ended.status == 1 and line(ended.out, part).startswith("wrong")


def test_a_database_of_another_encoding_is_wrong(postgres: Cluster, data: Path) -> None:
    postgres.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    ended = parlor(data, "doctor", port=0, database_url=postgres.url("latin"))
    postgres.drop("latin")
    assert line(ended.out, "not UTF8").startswith("wrong")


Answers = dict[str, object]


def answering(answers: Answers) -> Callable[[Connection, str], object]:
    """Return what stands for a server with these answers."""
    return lambda _, question: next(answer for part, answer in answers.items() if part in question)


@pytest.mark.parametrize(
    ("check", "answers", "verdict"),
    [
        (postgres.version, {"server_version_num": "140011"}, Verdict.WRONG),
        (postgres.version, {"server_version_num": "150000"}, Verdict.OK),
        (postgres.role, {"pg_is_in_recovery": True}, Verdict.WRONG),
        (postgres.queue, {"queue_usage": 0.75}, Verdict.WARNING),
    ],
)
def test_a_server_that_is_otherwise_is_seen(
    check: Callable[[object], Check], answers: Answers, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_ask", answering(answers))
    assert check(None).verdict == verdict


def test_a_clock_that_goes_otherwise_is_seen(postgres_url: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "MOST_SKEW", timedelta(seconds=-1))
    ended = parlor(data, "doctor", port=0, database_url=postgres_url)
    assert line(ended.out, "clock and ours differ").startswith("warning")


def test_too_few_connections_are_warned_of(data: Path) -> None:
    with running(max_connections="8", superuser_reserved_connections="3", max_wal_senders="0") as cluster:
        ended = parlor(data, "doctor", port=0, database_url=cluster.url(cluster.create()))
    assert line(ended.out, "max_connections").startswith("warning")


def test_notifications_that_do_not_arrive_are_wrong(
    postgres_url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LONGEST_ROUND_TRIP", 0.0)
    ended = parlor(data, "doctor", port=0, database_url=postgres_url)
    assert line(ended.out, "do not arrive").startswith("wrong")


def test_revisions_are_known_from_the_newest_to_the_first() -> None:
    assert (
        migrations.revisions()[-1] == "0001" and migrations.revisions() == tuple(sorted(migrations.revisions()))[::-1]
    )


def test_an_account_that_owns_its_database_and_nothing_else_can_do_it_all(
    postgres: Cluster, data: Path, tmp_path: Path
) -> None:
    """As our documentation has it made: no superuser, to whom much is told that others do not see."""
    postgres.sql("CREATE ROLE plain LOGIN")
    postgres.sql("CREATE DATABASE plain OWNER plain TEMPLATE template0")
    url = postgres.url("plain").replace("//parlor@", "//plain@")
    try:
        talk(sqlite_url(data), ["one"])
        assert parlor(data, "copy", "--to", url).done
        assert parlor(data, "backup", tmp_path / "backup", database_url=url).done
        assert "Schema" in parlor(data, "restore", tmp_path / "backup", database_url=url).done
        assert parlor(data, "renew", database_url=url).done
        said = parlor(data, "doctor", port=0, database_url=url).out
        assert [text for text in said.splitlines() if text.startswith("wrong") and " is off" not in text] == []
        assert bodies(url) == ["one"]
    finally:
        postgres.drop("plain")
        postgres.sql("DROP ROLE plain")
