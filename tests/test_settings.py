"""Every knob."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.environment import FORMER_NAMES, former_names, secret_folders
from app.settings import Settings

JITTER = 0.3  # of every wait, either way; the page's configuration says so to the browser


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.upper().startswith("PARLOR_") or name.upper() == "PORT":
            monkeypatch.delenv(name)
    yield


def complaint(**values: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        Settings(**values)
    return str(refused.value)


# Defaults


def test_reconnecting_begins_within_a_second_and_is_never_more_than_three_apart() -> None:
    settings = Settings()
    assert settings.reconnect_delay * (1 + JITTER) < 1
    assert settings.reconnect_max_delay * (1 + JITTER) <= 3


def test_the_status_is_yellow_within_fifteen_seconds_of_silence_and_red_within_thirty() -> None:
    settings = Settings()
    assert settings.heartbeat + settings.stale_after < 30
    assert settings.stale_after <= 15
    assert settings.lost_after <= 30
    # One heartbeat that is late does not turn the page yellow.
    assert settings.stale_after > 2 * settings.heartbeat


def test_a_stalled_reader_is_cut_off_within_ten_seconds() -> None:
    assert Settings().stall_seconds <= 10


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert (settings.message_length, settings.name_length, settings.page_size) == (4000, 40, 50)
    assert settings.group_window == timedelta(minutes=5)
    assert settings.host == "127.0.0.1"
    assert settings.port == 8000


def test_nobody_from_elsewhere_is_let_in_by_default() -> None:
    assert Settings().allowed_origins == ()
    assert Settings().allowed_hosts == ()


def test_the_longest_message_fits_into_a_frame_however_it_is_escaped() -> None:
    # JSON takes up to twelve characters (a surrogate pair of \\uXXXX) for one.
    assert Settings().message_length * 12 < Settings().frame_length


def test_database_and_key_lie_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.store_url == f"sqlite:///{tmp_path}/parlor.db"
    assert settings.key_file == tmp_path / "secret.key"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("sqlite:////srv/chat.db", "sqlite:////srv/chat.db"),
        ("sqlite+aiosqlite:///chat.db", "sqlite:///chat.db"),
        ("postgresql://parlor:secret@db:5433/parlor", "postgresql://parlor:secret@db:5433/parlor"),
        ("postgres://db/parlor?sslmode=require", "postgresql://db/parlor?sslmode=require"),
        ("postgresql+asyncpg://one:5432,two:5432/parlor", "postgresql://one:5432,two:5432/parlor"),
        ("postgresql:///parlor?host=/run/postgresql", "postgresql:///parlor?host=/run/postgresql"),
    ],
)
def test_another_database_may_be_named_in_several_ways(url: str, meant: str) -> None:
    assert Settings(database_url=url).store_url == meant


@pytest.mark.parametrize("url", ["nonsense", "sqlite:x.db", "sqlite://x.db", "mysql://db/parlor", "postgresql:db"])
def test_a_database_that_is_not_served_is_refused(url: str) -> None:
    assert "it must begin with postgresql:// or sqlite:///" in complaint(database_url=url)


def test_the_password_of_the_database_is_not_shown() -> None:
    assert "hidden" not in repr(Settings(database_url="postgresql://parlor:hidden@db/parlor"))


@pytest.mark.parametrize("origin", ["www.example.org", "https://example.org/", "ftp://example.org", "https://"])
def test_an_invalid_origin_is_refused(origin: str) -> None:
    assert "an origin looks like" in complaint(allowed_origins=origin)


def test_durations_have_their_units() -> None:
    settings = Settings(group_minutes=1.5, session_days=2)
    assert settings.group_window == timedelta(seconds=90)
    assert settings.session_lifetime == timedelta(hours=48)


# The environment


@pytest.mark.parametrize(
    "host", ["https://chat.example.org", "chat.example.org:8000", "a b", "-", "chat..org", "*.org"]
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    assert "a host looks like" in complaint(allowed_hosts=host)


@pytest.mark.parametrize("host", ["chat.example.org", "CHAT.example.org", "*", "chat", "xn--hxajbheg.example"])
def test_hosts_are_names_or_any(host: str) -> None:
    assert Settings(allowed_hosts=host).allowed_hosts == (host.lower(),)


def test_every_setting_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, Any] = {
        name: _another(name, field.get_default()) for name, field in Settings.model_fields.items()
    }
    for name, value in values.items():
        monkeypatch.setenv(f"PARLOR_{name.upper()}", ",".join(value) if isinstance(value, tuple) else str(value))
    settings = Settings()
    found = {name: getattr(settings, name) for name in values}
    for name in ("secret_key", "metrics_token"):
        found[name] = found[name].get_secret_value()
    assert found == values


def _another(name: str, default: object) -> object:
    """Return a value that a setting may have, and does not have by default."""
    special: dict[str, object] = {
        "secret_key": "sixteen characters and more",
        "metrics_token": "sixteen characters and more",
        "time_zone": "Europe/Berlin",
        "log_level": "debug",
        "log_format": "json",
        "allowed_hosts": ("one.example", "two.example"),
        "allowed_origins": ("https://one.example", "https://two.example"),
        "data_dir": Path("/srv/parlor"),
        "database_url": "sqlite:////srv/chat.db",
        "edit_minutes": 15.0,
        "reconnect_delay": 0.6,
        "reconnect_max_delay": 2.2,
    }
    if name in special:
        return special[name]
    return default + 1 if isinstance(default, int | float) else f"{default}x"


@pytest.mark.parametrize("name", ["PORT", "PARLOR_PORT"])
def test_the_port_has_two_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "9000")
    assert Settings().port == 9000


def test_our_own_name_of_the_port_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("PARLOR_PORT", "9001")
    assert Settings().port == 9001


@pytest.mark.parametrize("name", ["HOST", "TITLE", "LOG_LEVEL", "DATABASE_URL"])
def test_no_other_variable_is_read_without_our_prefix(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "elsewhere")
    assert Settings() == Settings.model_construct(**Settings().model_dump())
    assert getattr(Settings(), name.lower()) != "elsewhere"


def test_a_list_is_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLOR_ALLOWED_ORIGINS", " https://one.example ,https://two.example,, ")
    assert Settings().allowed_origins == ("https://one.example", "https://two.example")


def test_an_empty_list_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLOR_ALLOWED_ORIGINS", "")
    assert Settings().allowed_origins == ()
    assert Settings().allowed_hosts == ()


def test_an_empty_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLOR_SECRET_KEY", "")
    assert Settings().secret_key is None


def test_the_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLOR_SECRET_KEY", "a very secret key")
    assert "very secret" not in repr(Settings())
    assert "very secret" not in str(Settings())


def test_settings_do_not_change_while_it_runs() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


# What is refused


@pytest.mark.parametrize("origins", ["*", "https://one.example,*"])
def test_any_origin_at_all_is_refused(origins: str) -> None:
    assert "name the origins" in complaint(allowed_origins=origins)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "", "../../etc/passwd", "/etc/localtime", "UTC\0", "😀"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    assert "time_zone" in complaint(time_zone=zone)


@pytest.mark.parametrize(
    "values",
    [
        {"heartbeat": 12, "stale_after": 12},
        {"heartbeat": 13},
        {"stale_after": 27},
        {"stale_after": 30, "lost_after": 20},
        {"lost_after": 1},
    ],
)
def test_a_page_that_would_turn_yellow_before_the_next_heartbeat_is_refused(values: dict[str, float]) -> None:
    assert "heartbeat, stale_after and lost_after" in complaint(**values)


def test_heartbeat_and_patience_that_grow_are_taken() -> None:
    settings = Settings(heartbeat=0.1, stale_after=0.2, lost_after=0.3)
    assert settings.lost_after == 0.3


@pytest.mark.parametrize(
    "values",
    [
        {"reconnect_delay": 0},
        {"reconnect_delay": -1},
        {"reconnect_delay": 0.76},
        {"reconnect_max_delay": 0},
        {"reconnect_max_delay": 2.31},
        {"reconnect_delay": 0.7, "reconnect_max_delay": 0.6},
    ],
)
def test_reconnecting_later_than_promised_is_refused(values: dict[str, float]) -> None:
    assert "reconnect_" in complaint(**values)


def test_the_slowest_reconnecting_that_is_allowed_keeps_the_promise() -> None:
    settings = Settings(reconnect_delay=0.75, reconnect_max_delay=2.3)
    assert settings.reconnect_delay * (1 + JITTER) < 1
    assert settings.reconnect_max_delay * (1 + JITTER) <= 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 65_536),
        ("port", "eighty"),
        ("secret_key", "short"),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("title", ""),
        ("lobby", ""),
        ("group_minutes", -1),
        ("page_size", 0),
        ("resume_limit", -1),
        ("members_shown", 0),
        ("message_length", 0),
        ("name_length", 0),
        ("name_length", 101),
        ("name_held_days", 0),
        ("session_days", 0),
        ("messages_per_second", 0),
        ("messages_burst", 0),
        ("connections_per_address", 0),
        ("frame_length", 0),
        ("heartbeat", 0),
        ("presence_grace", -1),
        ("outbox_length", 0),
        ("stall_seconds", 0),
        ("lock_wait_seconds", 0),
        ("drain_seconds", -1),
        ("shutdown_seconds", -1),
    ],
)
def test_invalid_settings_are_refused_by_name(name: str, value: object) -> None:
    assert name in complaint(**{name: value}).lower()


def test_every_setting_has_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


# Secrets


def test_a_setting_may_stand_in_a_file_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parlor_database_url").write_text("postgresql://parlor:secret@db/parlor\n")
    (tmp_path / "parlor_title").write_text("From a file")
    (tmp_path / "something_else").write_text("of no interest")
    monkeypatch.setenv("PARLOR_TITLE", "From the environment")
    monkeypatch.setitem(Settings.model_config, "secrets_dir", secret_folders({"CREDENTIALS_DIRECTORY": str(tmp_path)}))
    assert Settings().store_url == "postgresql://parlor:secret@db/parlor"
    assert Settings().title == "From the environment"


def test_a_folder_of_secrets_that_is_not_there_is_not_asked(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert gone not in secret_folders({"CREDENTIALS_DIRECTORY": gone})


@pytest.mark.breaks("app/environment.py", "return AliasChoices(name, FORMER_NAMES[name])", "return AliasChoices(name)")
def test_former_names_are_accepted_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, former in FORMER_NAMES.items():
        monkeypatch.setenv(former, "7")
        field = name.removeprefix("PARLOR_").lower()
        assert getattr(Settings(), field) == 7
        assert former_names({former: "7"}) == [
            f"{former} is called {name} now. The old name works in this release, and not in the next."
        ]
        monkeypatch.setenv(name, "8")
        assert getattr(Settings(), field) == 8
    assert former_names({"PARLOR_PORT": "1"}) == []
