"""Bringing a database to its newest shape by hand."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection

from app.operations.commands import CommandError, alone, confirm_account
from app.store import migrations
from tests.operating import bodies, parlor, sqlite_url, talk
from tests.server import serving


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each engine."""
    found: str = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return found


def test_migrate_reports_both_revisions(url: str, tmp_path: Path) -> None:
    newest = migrations.revisions()[0]
    said = parlor(tmp_path, "migrate", database_url=url).done
    assert said == f"The database went from revision none to {newest}.\n"
    said = parlor(tmp_path, "migrate", database_url=url).done
    assert said == f"The database is at the newest revision, {newest}, already.\n"
    talk(url, ["one"])
    assert bodies(url) == ["one"]


def test_a_database_of_a_newer_version_is_not_touched(url: str, tmp_path: Path) -> None:
    def leap(connection: Connection) -> None:
        migrations.upgrade(connection)
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    alone(url, leap)
    assert (
        "A newer Parlor has migrated the database, to revision 9999"
        in parlor(tmp_path, "migrate", database_url=url).refusal
    )


def test_a_database_that_cannot_be_reached_is_said_in_a_line(tmp_path: Path) -> None:
    refusal = parlor(tmp_path, "migrate", database_url="postgresql://ann:sesame@127.0.0.1:1/chat").refusal
    assert "did not work" in refusal and "sesame" not in refusal


def test_a_database_that_does_not_exist_is_said_in_a_line(postgres_url: str, tmp_path: Path) -> None:
    refusal = parlor(tmp_path, "migrate", database_url=f"{postgres_url}_not").refusal
    assert "does not exist" in refusal and "sqlalche" not in refusal


def test_a_file_that_is_served_is_left_alone(tmp_path: Path) -> None:
    with serving(tmp_path):
        assert "is open in another process" in parlor(tmp_path, "migrate").refusal


def test_root_leaves_the_folders_of_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root makes there, the server could not open."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: SimpleNamespace(st_uid=1000, st_mode=0o40700))
    with pytest.raises(CommandError, match="is of user 1000"):
        confirm_account(tmp_path)
