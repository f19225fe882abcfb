"""The command line itself: its words, its settings, its exit statuses."""

import os
import subprocess
from getpass import getuser
from pathlib import Path

import pytest

from tests.operating import parlor, sqlite_url, talk
from tests.server import ROOT

COMMANDS = ("serve", "migrate", "backup", "restore", "renew", "copy", "room", "doctor")


def test_the_help_lists_the_commands(tmp_path: Path) -> None:
    said = parlor(tmp_path, "--help").done
    assert [name for name in COMMANDS if f"    {name} " not in said] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text(command: str, tmp_path: Path) -> None:
    assert f"usage: python -m app {command}" in parlor(tmp_path, command, "--help").done


@pytest.mark.parametrize("words", [(), ("nonsense",), ("backup",), ("copy",), ("restore", "a", "b")])
def test_words_that_make_no_sense_are_status_2(words: tuple[str, ...], tmp_path: Path) -> None:
    ended = parlor(tmp_path, *words)
    assert ended.status == 2 and "usage:" in ended.error


@pytest.mark.parametrize(("command", "status"), [("migrate", 2), ("serve", 2), ("doctor", 1)])
def test_settings_that_cannot_be_used_are_named(command: str, status: int, tmp_path: Path) -> None:
    ended = parlor(tmp_path, command, heartbeat="never")
    assert ended.status == status and "PARLOR_HEARTBEAT" in ended.error


def test_settings_come_from_a_file_as_systemd_reads_it(tmp_path: Path) -> None:
    data = tmp_path / "with blanks"
    talk(sqlite_url(data))
    file = tmp_path / "parlor.env"
    file.write_text(f"# a comment\nPARLOR_DATABASE_URL={sqlite_url(data)}\nPARLOR_TITLE=The $HOME Room\n")
    said = parlor(tmp_path, "--env-file", file, "backup", tmp_path / "backup").done
    assert "3 messages" in said
    # What is set beside it counts more.
    refusal = parlor(
        tmp_path, "--env-file", file, "backup", tmp_path / "b", database_url="sqlite:///nowhere.db"
    ).refusal
    assert "nowhere.db" in refusal


def test_a_file_of_settings_that_is_not_there_is_said(tmp_path: Path) -> None:
    ended = parlor(tmp_path, "--env-file", tmp_path / "gone.env", "doctor")
    assert ended.status == 2 and "The settings cannot be read" in ended.error and "gone.env" in ended.error


def test_the_short_way_takes_the_settings_of_the_service_and_leaves_the_folder(tmp_path: Path) -> None:
    """`deploy/parlor`, with the paths and the account of here."""
    talk(sqlite_url(tmp_path / "data"))
    (tmp_path / "parlor.env").write_text("PARLOR_PORT=0\nPARLOR_ALLOWED_HOSTS=chat.example.org\n")
    text = (ROOT / "deploy" / "parlor").read_text()
    for written, here in {
        "/etc/parlor.env": str(tmp_path / "parlor.env"),
        "/opt/parlor": str(ROOT),
        "/var/lib/parlor": str(tmp_path / "data"),
        "= parlor ]": f"= {getuser()} ]",
    }.items():
        assert written in text
        text = text.replace(written, here)
    # Whatever lies in the folder where somebody is, it is not run.
    (tmp_path / "app.py").write_text("raise SystemExit('another app')")
    script = tmp_path / "parlor"
    script.write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLOR_")}
    for words in (["backup", "here.backup"], ["doctor"]):
        ended = subprocess.run(
            ["sh", script, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
    assert "it may be called chat.example.org" in ended.stdout
    assert (tmp_path / "here.backup").stat().st_mode & 0o777 == 0o600
