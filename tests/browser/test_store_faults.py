"""The store in trouble: what people are told, what they keep, and that it passes by itself."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.cast import Cast
from tests.browser.conftest import GENEROUS, Gather
from tests.proxy import proxying
from tests.server import Server, serving

UNSTORED = "The server cannot store anything right now. Nothing is lost: send it again."

Trouble = Callable[[Server, Path], AbstractContextManager[None]]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server whose database a test may spoil."""
    with serving(tmp_path, **GENEROUS, lock_wait_seconds=0.3) as server:
        yield server


@pytest.fixture
def own_cast(gather: Gather, own_server: Server) -> Cast:
    """The people around it."""
    return gather(own_server)


@contextmanager
def locked(server: Server, file: Path) -> Iterator[None]:
    """Somebody else writes to the database, and does not come to an end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def full(server: Server, file: Path) -> Iterator[None]:
    """No file of the server's may grow."""
    limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, limits[1]))
    yield
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("trouble", [locked, full])
@pytest.mark.breaks(
    "app/rooms/posting.py", "raise UNSTORED() from error\n        if is_new", "return\n        if is_new"
)
def test_an_unstored_draft_stays_until_the_store_is_back(
    trouble: Trouble, own_cast: Cast, own_server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "parlor.db"
    ann, bob = own_cast.member("Ann").opens(), own_cast.member("Bob").opens()
    ann.says("before")
    bob.reads("before").foresees("503")
    with trouble(own_server, file):
        ann.types("kept\n")
        expect(ann.notice).to_have_text(UNSTORED)
        expect(ann.drafts.first.locator("output")).to_have_text("Not sent")
        expect(ann.drafts.first.locator("textarea")).to_have_value("kept")
        # Nobody new is sent here; those who are here and read notice nothing.
        assert bob.context.request.get(f"{own_server.url}/readyz").status == 503
        bob.reloads().sees("before")
        # What else would be stored is refused as clearly, and stands in its form.
        bob.renames_to("Robert")
        expect(bob.page.locator("#name-refused")).to_have_text(UNSTORED)
        expect(bob.page.locator("#account input[name=name]")).to_have_value("Robert")
        bob.opens().page.locator(".rooms__new").click()
        bob.page.locator("#new-room input[name=name]").fill("Tea")
        bob.page.locator("#new-room button.when-ready").click()
        expect(bob.page.locator("#room-refused")).to_have_text(UNSTORED)
        expect(bob.page.locator("#new-room input[name=name]")).to_have_value("Tea")
        bob.is_connected()
        ann.finds_it("connected")
    ann.drafts.first.locator("textarea").press("Enter")
    ann.has_receipt().sees("before", "kept")
    expect(ann.notice).to_have_text("")
    bob.sees("before", "kept").renames_to("Robert").is_connected().says("after")
    ann.sees("before", "kept", "after")
    assert [each.position for each in ann.messages()] == [1, 2, 3]
    assert ann.messages() == ann.reloads().messages()
    assert len([line for line in own_server.log if "not stored" in line]) == 1
    assert not [line for line in own_server.log if "Traceback" in line]
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.breaks("app/store/sqlite.py", "if self._file_identity and", "if False and")
def test_a_database_file_that_is_gone_is_missed_at_once_and_found_again(
    gather: Gather, own_cast: Cast, own_server: Server, tmp_path: Path
) -> None:
    file, aside = tmp_path / "parlor.db", tmp_path / "aside.db"
    with proxying(own_server.port) as link:
        ann, bob = own_cast.member("Ann").opens(), own_cast.member("Bob").opens()
        carl = gather(own_server, link.url).member("Carl").opens()
        ann.says("before")
        bob.reads("before").foresees("503")
        file.rename(aside)
        ann.types("kept\n")
        expect(ann.notice).to_have_text(UNSTORED)
        assert bob.context.request.get(f"{own_server.url}/readyz").status == 503
        answer = bob.page.reload()
        assert answer and answer.status == 503
        expect(bob.page.locator("body")).to_contain_text("The database is unavailable.")
        # A page that comes back meanwhile keeps what it shows, says that it is not connected, and tries again.
        link.cut()
        link.heal()
        expect(carl.notice).to_have_text("The server is not ready. Retrying…")
        carl.finds_it("disconnected").sees("before")
        assert not file.exists()
        aside.rename(file)
        bob.opens()
        ann.drafts.first.locator("textarea").press("Enter")
        ann.has_receipt()
        for person in (ann, bob, carl):
            person.is_connected().sees("before", "kept")
        assert ann.messages() == bob.messages() == carl.messages()
    assert not [line for line in own_server.log if "Traceback" in line]


@pytest.mark.breaks("app/rooms/resuming.py", "cursor.epoch != self._store.epoch", "False")
def test_a_page_shows_another_log_from_the_beginning_and_nothing_of_the_one_before(
    own_cast: Cast, own_server: Server, tmp_path: Path
) -> None:
    ann, bob = own_cast.member("Ann").opens(), own_cast.member("Bob").opens()
    ann.says("one", "two", "three")
    bob.sees("one", "two", "three")
    ann.types("being written")
    elsewhere = [f"elsewhere {position}" for position in range(1, 7)]
    own_server.stop()
    replace_the_log(tmp_path / "parlor.db", without="Ann")
    own_server.start()
    for person in (ann, bob):
        person.is_connected().sees(*elsewhere)
    bob.says("after")
    ann.sees(*elsewhere, "after")
    # Bob is somebody there, Ann is not. She is told so, and keeps what she wrote.
    ann.presses("Enter")
    expect(ann.notice).to_contain_text("Choose a name")
    expect(ann.drafts.first.locator("textarea")).to_have_value("being written")
    assert ann.messages() == bob.messages() == bob.reloads().messages()
    expect(ann.reloads().page.locator("#join")).to_be_visible()


def replace_the_log(file: Path, without: str) -> None:
    """Make another log of the one in `file`: another epoch, six messages that nobody here has seen, one member less."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.executescript(
            """
            UPDATE log SET epoch = 'another';
            INSERT INTO messages (room_id, position, author_id, author_name, body, created_at, submission)
                SELECT room_id, position + 3, author_id, author_name, body, created_at, randomblob(32) FROM messages;
            UPDATE messages SET body = 'elsewhere ' || position,
                author_id = (SELECT id FROM members WHERE name = 'Bob');
            UPDATE rooms SET position = 6;
            """
        )
        database.execute("DELETE FROM members WHERE name = ?", [without])
