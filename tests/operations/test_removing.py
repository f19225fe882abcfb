"""Removing a room, on the command line, while a server goes on."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text

from app.main import create_app
from app.operations import removing
from app.settings import Settings
from tests.conftest import Clock
from tests.operating import parlor, sqlite_url, talk
from tests.page import Page


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a chat on each engine, that looks often."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else sqlite_url(tmp_path)
    return Settings(data_dir=tmp_path, database_url=url, poll_seconds=0.05, allowed_hosts=("testserver",))


def remove(settings: Settings, slug: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("app.operations.removing.BATCH", 2)
    return parlor(settings.data_dir, "room", "remove", slug, database_url=settings.database_url).done


@pytest.mark.breaks("app/rooms/rooms.py", "await self.directory.forget_removed()", "pass")
def test_a_removed_room_disappears_and_its_visitors_are_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TestClient(create_app(settings, Clock())) as client:
        client.post("/name", data={"name": "Ann"})
        assert client.post("/rooms", data={"name": "Tea"}).url.path == "/rooms/tea"
        for number in range(5):
            client.post("/rooms/tea/messages", data={"message": f"secret {number}"})
        ours = {"Origin": "http://testserver"}
        with (
            client.websocket_connect("/ws/tea", headers=ours) as inside,
            client.websocket_connect("/ws/lobby", headers=ours) as outside,
        ):
            for socket in (inside, outside):
                socket.send_json({"cursor": ""})
                while 'data-state="connected"' not in socket.receive_text():
                    pass
            said = remove(settings, "tea", monkeypatch)
            assert said.endswith("The room “Tea” (/rooms/tea) is removed, with 5 messages.\n")
            while "This room was removed." not in inside.receive_text():
                pass
            assert inside.receive()["code"] == 1008
            while 'id="rooms"' not in (frame := outside.receive_text()):
                pass
            assert "Lobby" in frame and "Tea" not in frame
        assert client.get("/rooms/tea").status_code == 404
        assert client.post("/rooms/tea/messages", data={"message": "late"}).status_code == 404
        assert "/rooms/tea" not in client.get("/").text
        with client.websocket_connect("/ws/tea", headers=ours) as socket:
            assert "does not exist" in socket.receive_text()
            assert socket.receive()["code"] == 1008
        # The name is free, the address is not: what led to the one does not lead to the other.
        assert client.post("/rooms", data={"name": "Tea"}).url.path == "/rooms/tea-2"
    again = parlor(settings.data_dir, "room", "remove", "tea", database_url=settings.database_url)
    assert again.refusal == "There is no room at /rooms/tea.\n"


def test_a_server_that_starts_later_does_not_know_a_room_that_is_half_removed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TestClient(create_app(settings, Clock())) as client:
        client.post("/name", data={"name": "Ann"})
        client.post("/rooms", data={"name": "Tea"})
        client.post("/rooms/tea/messages", data={"message": "secret"})

    async def interrupted(*_: object) -> int:
        raise OSError("no more")

    with monkeypatch.context() as patch:
        patch.setattr("app.operations.removing._erase", interrupted)
        assert parlor(settings.data_dir, "room", "remove", "tea", database_url=settings.database_url).status == 1
    with TestClient(create_app(settings, Clock())) as client:
        assert client.get("/rooms/tea").status_code == 404
        assert Page(client.get("/").text).soup.select("#rooms a")[-1].text == "Lobby"
    assert "with 1 message." in remove(settings, "tea", monkeypatch)


@pytest.mark.breaks(
    "app/operations/removing.py", "while await engine.write(partial(purge, begins=begins)):", "while False:"
)
def test_erased_messages_are_not_left_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path, allowed_hosts=("testserver",))
    with TestClient(create_app(settings, Clock())) as client:
        client.post("/name", data={"name": "Ann"})
        client.post("/rooms", data={"name": "Tea"})
        client.post("/rooms/tea/messages", data={"message": "a secret"})
    assert b"secret" in (tmp_path / "parlor.db").read_bytes()
    remove(settings, "tea", monkeypatch)
    engine = create_engine(sqlite_url(tmp_path))
    with engine.connect() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    engine.dispose()
    assert b"secret" not in (tmp_path / "parlor.db").read_bytes()


@pytest.mark.breaks("app/operations/removing.py", 'connection.exec_driver_sql("PRAGMA secure_delete=ON")', "pass")
def test_erasing_overwrites_under_any_default_of_sqlite() -> None:
    """Debian's SQLite overwrites by itself, so the file above would not show it."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")
        erase = removing._for_good(lambda inside: int(inside.exec_driver_sql("PRAGMA secure_delete").scalar_one()))
        assert erase(connection) == 1
    engine.dispose()


def test_removal_errors_are_reported(tmp_path: Path) -> None:
    assert "There is no database" in parlor(tmp_path, "room", "remove", "tea").refusal
    assert not (tmp_path / "parlor.db").exists()
    talk(sqlite_url(tmp_path))
    assert "lobby cannot be removed" in parlor(tmp_path, "room", "remove", "lobby").refusal
    assert "There is no room" in parlor(tmp_path, "room", "remove", "nowhere").refusal
    assert parlor(tmp_path, "room").status == 2
