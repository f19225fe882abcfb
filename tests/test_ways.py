"""The other ways a server is run: what is marked `ways` holds in each of them. Everything is tried by `make soak`."""

import os
import subprocess
import sys

import pytest

from tests.server import ROOT
from tests.ways import NAMES, WAY, chosen

TESTS = ("tests/protocol", "tests/test_main.py")
OTHERS = [name for name in NAMES if name != WAY]


@pytest.mark.parametrize("way", OTHERS)
def test_it_is_the_same_whichever_way_it_is_served(way: str) -> None:
    command = [sys.executable, "-m", "pytest", "-x", "-m", "ways", "-p", "no:cacheprovider", *TESTS]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | {"TEST_WAY": way}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="uvloop, asyncio, plain; not ajar"):
        chosen({"TEST_WAY": "ajar"})
