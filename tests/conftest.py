"""What tests share: an application with a clock that stands still, and snapshots."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.html import normalise

SNAPSHOTS = Path(__file__).parent / "snapshots"


class Clock:
    """A clock that goes when it is told to. Starts on a Monday afternoon."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        """Let `by` (as for `timedelta`) pass."""
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
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, presence_grace=0)


@pytest.fixture
def app(settings: Settings, clock: Clock) -> FastAPI:
    return create_app(settings, clock)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """Somebody's browser, without script."""
    with TestClient(app, base_url="http://parlor.test") as client:
        yield client


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
