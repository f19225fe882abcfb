"""Whatever comes over a socket or HTTP, the server answers, and the neighbour notices nothing: the quick half."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guarantees.fuzz import SETTINGS, fuzz_frames, fuzz_requests
from tests.server import Server, serving

SEED = 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, **SETTINGS) as server:
        yield server


async def test_frames_of_any_kind_cost_the_neighbour_nothing(server: Server) -> None:
    result = await fuzz_frames(server, 5_000, SEED)
    assert result.failures == []
    assert result.sent == 5_000


async def test_requests_of_any_kind_are_answered(server: Server) -> None:
    result = await fuzz_requests(server, 1_500, SEED)
    assert result.failures == []
    assert result.sent == 1_500
