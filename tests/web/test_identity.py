"""A member <-> a signed cookie."""

import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.chat.messages import Member
from app.web.identity import HOST_SALT, Signer
from app.web.keys import is_open_to_others, read_keys
from tests.cast import ANN, BOB
from tests.conftest import Clock

KEY = "the key of these tests"
YEAR = timedelta(days=365)
SIGNER = Signer([KEY], YEAR)

any_text = st.text(st.characters(codec="utf-8"))
members = st.builds(Member, id=any_text, name=any_text, time_zone=any_text)


@given(members)
def test_a_cookie_identifies_a_member(member: Member) -> None:
    session = SIGNER.read(SIGNER.sign(member))
    assert session
    assert session.member == member


@given(members)
def test_a_cookie_needs_no_quoting(member: Member) -> None:
    assert set(SIGNER.sign(member)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def is_due(signer: Signer, cookie: str) -> bool:
    session = signer.read(cookie)
    assert session
    return session.is_due


def test_a_cookie_is_due_after_a_quarter_of_its_lifetime(today: Clock) -> None:
    cookie = SIGNER.sign(ANN)
    assert not is_due(SIGNER, cookie)
    today.advance(days=365 / 4)
    assert not is_due(SIGNER, cookie)
    today.advance(seconds=1)
    assert is_due(SIGNER, cookie)


@pytest.mark.breaks("app/web/identity.py", "suppress(BadData, UnicodeError, TypeError)", "suppress(BadData, TypeError)")
@given(st.text(st.characters(exclude_categories=())))
@example("\ud800")
def test_an_unsigned_cookie_is_nobody(cookie: str) -> None:
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


def test_a_cookie_that_was_cut_anywhere_is_nobody() -> None:
    cookie = SIGNER.sign(ANN)
    assert [length for length in range(len(cookie)) if SIGNER.read(cookie[:length])] == []


def test_the_signature_of_one_is_not_that_of_another() -> None:
    anns, bobs = SIGNER.sign(ANN), SIGNER.sign(BOB)
    assert SIGNER.read(".".join((bobs.rsplit(".", 2)[0], *anns.rsplit(".", 2)[1:]))) is None


def test_a_cookie_signed_by_another_key_is_nobody() -> None:
    assert SIGNER.read(Signer(["the key of somebody else"], YEAR).sign(ANN)) is None


def test_a_signature_for_another_purpose_is_nobody() -> None:
    for salt in (HOST_SALT, "parlor.elsewhere"):
        assert SIGNER.read(SIGNER.sign(ANN, salt), salt)
        assert SIGNER.read(SIGNER.sign(ANN, salt)) is None


def test_a_cookie_says_which_session_it_is_of() -> None:
    for session in (0, 1, 2**62):
        found = SIGNER.read(SIGNER.sign(replace(ANN, session=session)))
        assert found and found.member.session == session


def test_a_cookie_from_before_sessions_had_versions_is_of_the_first() -> None:
    found = SIGNER.read(SIGNER._dump({"id": ANN.id, "name": ANN.name, "time_zone": ANN.time_zone}))
    assert found and found.member.is_still(ANN)


@pytest.mark.breaks("app/web/identity.py", "if not all(isinstance(text, str) for text in texts)", "if not texts")
@pytest.mark.parametrize(
    "content",
    [
        {},
        {"id": "a"},
        {"id": "a", "name": "Ann", "time_zone": "UTC", "role": "admin"},
        {"id": "a", "name": "Ann", "time_zone": "UTC", "session": "1"},
        {"id": "a", "name": "Ann", "time_zone": "UTC", "session": True},
        {"id": 1, "name": "Ann", "time_zone": "UTC"},
        {"id": "a", "name": None, "time_zone": "UTC"},
        {"id": "a", "name": "Ann", "time_zone": ["UTC"]},
        {"id": {"id": "a"}, "name": "Ann", "time_zone": "UTC"},
        ["a", "Ann", "UTC"],
        "Ann",
        1,
        None,
    ],
    ids=str,
)
def test_a_signed_cookie_that_holds_anything_else_is_nobody(content: object) -> None:
    assert SIGNER.read(SIGNER._dump(content)) is None


def test_a_cookie_ends_with_its_lifetime(today: Clock) -> None:
    signer = Signer([KEY], timedelta(days=1))
    cookie = signer.sign(ANN)
    today.advance(days=1)
    assert signer.read(cookie)
    today.advance(seconds=1)
    assert signer.read(cookie) is None


@pytest.mark.breaks("app/web/identity.py", "if age > self._lifetime", "if not timedelta(0) <= age <= self._lifetime")
@pytest.mark.parametrize("back", [timedelta(seconds=1), timedelta(hours=1), timedelta(days=400)], ids=str)
def test_nobody_loses_a_name_to_a_clock_that_is_set_back(today: Clock, back: timedelta) -> None:
    cookie = SIGNER.sign(ANN)
    today.now -= back
    session = SIGNER.read(cookie)
    assert session
    assert session.member == ANN
    assert session.is_due  # with the right date, it ends when it should
    today.now += back + YEAR + timedelta(seconds=1)
    assert SIGNER.read(cookie) is None


# Changing the key


def test_a_new_key_signs_and_the_old_one_is_still_accepted() -> None:
    old, both, new = Signer(["old"], YEAR), Signer(["old", "new"], YEAR), Signer(["new"], YEAR)
    assert both.read(old.sign(ANN))
    assert new.read(both.sign(ANN))
    assert old.read(both.sign(ANN)) is None


@pytest.mark.breaks("app/web/identity.py", "not by_newest or ", "")
def test_a_cookie_signed_by_an_old_key_is_renewed() -> None:
    old, both = Signer(["old"], YEAR), Signer(["old", "new"], YEAR)
    assert is_due(both, old.sign(ANN))
    assert not is_due(both, both.sign(ANN))


def test_a_key_that_was_removed_is_accepted_no_longer() -> None:
    assert Signer(["new"], YEAR).read(Signer(["old"], YEAR).sign(ANN)) is None


# The key file


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    (key,) = read_keys(path)
    assert len(key) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("mode", "is_open"), [(0o600, False), (0o400, False), (0o640, False), (0o604, True), (0o602, True), (0o644, True)]
)
def test_a_key_file_that_others_may_read_or_write_is_noticed(tmp_path: Path, mode: int, is_open: bool) -> None:
    path = tmp_path / "secret.key"
    read_keys(path)
    path.chmod(mode)
    assert is_open_to_others(path) is is_open


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
        monkeypatch.setattr("app.web.keys.token_urlsafe", lambda size: "the key of the other process")
        meanwhile.append(read_keys(path))
        return "the key of this process"

    monkeypatch.setattr("app.web.keys.token_urlsafe", slowly)
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
