"""The contract of the log holds on each engine."""

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'parlor.db'}"
    return str(request.getfixturevalue("postgres_url"))
