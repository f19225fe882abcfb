"""What tests share: an application with a clock that stands still, and snapshots."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings

from app.chat.messages import Member, Room
from app.main import create_app
from app.settings import Settings
from app.store.errors import StoreUnavailable
from app.store.store import Store
from app.store.writer import Writer
from tests import postgres as postgresql
from tests.logs import HELD_DAYS, Opener
from tests.normalise import normalise
from tests.profile import PROFILE

SNAPSHOTS = Path(__file__).parent / "snapshots"

# The same examples on every machine and in every run, however slow it is: a test that fails, fails for everybody.
hypothesis_settings.register_profile("quick", derandomize=True, deadline=None)
# The long half: many more, and others each time.
hypothesis_settings.register_profile("soak", deadline=None, max_examples=800, print_blob=True)
# Where a test is to fail, it need not look for the smallest example.
hypothesis_settings.register_profile("prove", derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate])
hypothesis_settings.load_profile(PROFILE)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """What a test has logged to ends with it: another test's events would go to a file that is closed."""
    root = logging.getLogger()
    handlers = root.handlers
    yield
    root.handlers = handlers


class Clock:
    """A clock that goes when it is told to. Starts on a Monday afternoon."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
        self.elapsed = 0.0  # in seconds: a clock for pauses, which never goes back

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        """Let `by` (as for `timedelta`) pass."""
        self.now += timedelta(**by)
        self.elapsed += timedelta(**by).total_seconds()

    def jump(self, **by: float) -> None:
        """Set it `by` (as for `timedelta`) forward, or back: no time passes."""
        self.now += timedelta(**by)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--snapshot-update", action="store_true", help="rewrite the snapshots")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def today(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The same clock, for what is signed as well."""
    monkeypatch.setattr("itsdangerous.timed.time", SimpleNamespace(time=lambda: clock().timestamp()))
    return clock


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path, presence_grace=0, allowed_hosts=("testserver",), rooms_burst=1000, metrics_from="*"
    )


@pytest.fixture
def app(settings: Settings, clock: Clock) -> FastAPI:
    return create_app(settings, clock)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """Somebody's browser, without script."""
    with TestClient(app) as client:
        yield client


@pytest.fixture
def other(app: FastAPI, client: TestClient) -> TestClient:
    """Somebody else's browser, on the same server and so in the same event loop."""
    other = TestClient(app)
    other.portal = client.portal
    return other


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Cluster]:
    """A PostgreSQL server for all tests that this process runs."""
    postgresql.skip_without()
    with postgresql.running() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres: postgresql.Cluster) -> Iterator[str]:
    """The address of an empty database on it."""
    database = postgres.create()
    yield postgres.url(database)
    postgres.drop(database)


# The log, for modules that say in `store_url` where it is


@pytest.fixture
def lock_wait() -> float:
    """Seconds for which a write may wait. Tests of locks say less."""
    return 5


@pytest.fixture
def opening(store_url: str, clock: Clock, lock_wait: float) -> Opener:
    """Open the same log, as often as asked."""

    @asynccontextmanager
    async def open_it() -> AsyncIterator[Store]:
        async with Store(store_url, clock, lock_wait).opened("Lobby") as store:
            yield store

    return open_it


@pytest.fixture
async def log(opening: Opener) -> AsyncIterator[Store]:
    async with opening() as store:
        yield store


@pytest.fixture
async def ann(log: Store) -> Member:
    return await log.take_name(None, "Ann", "UTC", HELD_DAYS)


@pytest.fixture
async def bob(log: Store) -> Member:
    return await log.take_name(None, "Bob", "Europe/Berlin", HELD_DAYS)


@pytest.fixture
async def lobby(log: Store) -> Room:
    return (await log.rooms())[0]


@pytest.fixture
def broken_store(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, the database neither reads nor writes."""

    async def unavailable(*_: object, **options: object) -> None:
        raise StoreUnavailable("broken by a test")

    def break_it() -> None:
        monkeypatch.setattr(Store, "_read", unavailable)
        monkeypatch.setattr(Store, "_write", unavailable)
        monkeypatch.setattr(Writer, "_commit", unavailable)  # it knows the other one already
        monkeypatch.setattr("app.web.sockets.UNREADY_SECONDS", (0, 0))

    return break_it


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare HTML, normalised, with what `snapshots/<name>.html` holds; `make snapshots` rewrites that."""

    def compare(name: str, html: str) -> None:
        path = SNAPSHOTS / f"{name}.html"
        found = normalise(html)
        if request.config.getoption("--snapshot-update"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found)
        assert path.exists(), f"there is no snapshot {path.name} yet: make snapshots"
        assert found == path.read_text()

    return compare
