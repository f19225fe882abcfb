"""A member <-> a signed cookie."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app import identity
from app.identity import Signer, read_keys
from app.messages import Member
from tests.cast import ANN, BOB

KEY = "the key of these tests"
YEAR = timedelta(days=365)
SIGNER = Signer([KEY], YEAR)

any_text = st.text(st.characters(codec="utf-8"))
members = st.builds(Member, id=any_text, name=any_text, time_zone=any_text)


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock for the signatures; set its `now`."""
    clock = SimpleNamespace(now=datetime(2026, 11, 23, tzinfo=UTC))
    monkeypatch.setattr("itsdangerous.timed.time", SimpleNamespace(time=lambda: clock.now.timestamp()))
    return clock


@given(members)
def test_a_cookie_says_who_somebody_is(member: Member) -> None:
    session = SIGNER.read(SIGNER.sign(member))
    assert session
    assert session.member == member


@given(members)
def test_a_cookie_needs_no_quoting(member: Member) -> None:
    assert set(SIGNER.sign(member)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def test_a_cookie_says_since_when(today: SimpleNamespace) -> None:
    cookie = SIGNER.sign(ANN)
    session = SIGNER.read(cookie)
    assert session
    assert session.signed_at == today.now


@given(any_text)
def test_what_was_never_signed_is_nobody(cookie: str) -> None:
    assert SIGNER.read(cookie) is None


@given(st.data())
def test_a_cookie_that_was_changed_anywhere_is_nobody(data: st.DataObject) -> None:
    cookie = SIGNER.sign(ANN)
    place = data.draw(st.integers(0, len(cookie) - 1))
    other = data.draw(st.characters(codec="latin-1"))
    forged = cookie[:place] + other + cookie[place + 1 :]
    # The last character of base64 has bits that mean nothing.
    assume(forged != cookie and place < len(cookie) - 1)
    assert SIGNER.read(forged) is None


@given(st.integers(0, 60))
def test_a_cookie_that_was_cut_is_nobody(length: int) -> None:
    assert SIGNER.read(SIGNER.sign(ANN)[:length]) is None


def test_the_signature_of_one_is_not_that_of_another() -> None:
    anns, bobs = SIGNER.sign(ANN), SIGNER.sign(BOB)
    assert SIGNER.read(".".join((bobs.rsplit(".", 2)[0], *anns.rsplit(".", 2)[1:]))) is None


def test_who_has_another_key_is_nobody() -> None:
    assert SIGNER.read(Signer(["the key of somebody else"], YEAR).sign(ANN)) is None


def test_a_signature_for_another_purpose_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "SALT", "parlor.elsewhere")
    elsewhere = Signer([KEY], YEAR)
    assert elsewhere.read(elsewhere.sign(ANN))
    assert SIGNER.read(elsewhere.sign(ANN)) is None


def test_a_signed_cookie_with_other_fields_is_nobody() -> None:
    for fields in ({}, {"id": "a"}, {"id": "a", "name": "Ann", "time_zone": "UTC", "role": "admin"}):
        assert SIGNER.read(SIGNER._dump(fields)) is None


def test_a_cookie_ends_with_its_lifetime(today: SimpleNamespace) -> None:
    signer = Signer([KEY], timedelta(days=1))
    cookie = signer.sign(ANN)
    today.now += timedelta(days=1)
    assert signer.read(cookie)
    today.now += timedelta(seconds=1)
    assert signer.read(cookie) is None


# Changing the key


def test_a_new_key_signs_and_the_old_one_is_still_accepted() -> None:
    old, both, new = Signer(["old"], YEAR), Signer(["old", "new"], YEAR), Signer(["new"], YEAR)
    assert both.read(old.sign(ANN))
    assert new.read(both.sign(ANN))
    assert old.read(both.sign(ANN)) is None


def test_a_key_that_was_removed_is_accepted_no_longer() -> None:
    assert Signer(["new"], YEAR).read(Signer(["old"], YEAR).sign(ANN)) is None


# The key file


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    (key,) = read_keys(path)
    assert len(key) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_key_stays(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    assert read_keys(path) == read_keys(path)


def test_every_installation_has_a_key_of_its_own(tmp_path: Path) -> None:
    assert read_keys(tmp_path / "one") != read_keys(tmp_path / "other")


def test_a_key_a_line_and_the_newest_last(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_text("old\n\n  new  \n")
    assert read_keys(path) == ["old", "new"]


def test_a_start_while_the_key_is_being_made_gets_the_same_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.key"
    meanwhile: list[list[str]] = []

    def slowly(size: int) -> str:
        # Just then, another process starts.
        monkeypatch.setattr(identity, "token_urlsafe", lambda size: "the key of the other process")
        meanwhile.append(read_keys(path))
        return "the key of this process"

    monkeypatch.setattr(identity, "token_urlsafe", slowly)
    keys = read_keys(path)
    assert keys
    assert meanwhile == [keys]
    assert read_keys(path) == keys


def test_many_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    together = Barrier(8)
    found: list[list[str]] = []

    def start() -> None:
        together.wait()
        found.append(read_keys(path))

    threads = [Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [read_keys(path)] * 8
    assert [each.name for each in tmp_path.iterdir()] == ["secret.key"]


def test_a_key_file_without_a_key_is_not_taken_for_one(tmp_path: Path) -> None:
    # As a crash or a full disk may leave it. Whatever is done about it, nobody signs with no key at all.
    path = tmp_path / "secret.key"
    path.touch()
    try:
        keys = read_keys(path)
    except Exception as error:
        assert str(path) in str(error)
    else:
        assert keys
