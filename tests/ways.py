"""The ways a server is run, of which `TEST_WAY` chooses one for all tests that start one.

`uvloop` (the default) and `asyncio` are `python -m app serve` on either event loop: uvloop does not exist for Windows.
`plain` is `uvicorn app.main:app`, as somebody may run it who has a server of their own. `make test` runs what is marked
`ways` in the other two as well, `make soak` everything.
"""

import os
import sys
from collections.abc import Mapping

import pytest

from app.settings import Settings

NAMES = ("uvloop", "asyncio", "plain")

# An import that fails, as it does where uvloop is not installed.
WITHOUT_UVLOOP = "import runpy, sys; sys.modules['uvloop'] = None; runpy.run_module('app', run_name='__main__')"
FRAME_LENGTH = Settings.model_fields["frame_length"].default
SHUTDOWN_SECONDS = Settings.model_fields["shutdown_seconds"].default
BYTES_PER_CHARACTER = 4


def command(way: str, port: int, settings: Mapping[str, object]) -> list[str]:
    """Return the command that serves on `port` in this way; the rest of the `settings` is in the environment."""
    if way == "uvloop":
        return [sys.executable, "-m", "app", "serve"]
    if way == "asyncio":
        return [sys.executable, "-c", WITHOUT_UVLOOP, "serve"]
    # What our command line takes from the settings, an operator has to tell uvicorn.
    most = int(str(settings.get("frame_length", FRAME_LENGTH))) * BYTES_PER_CHARACTER
    seconds = settings.get("shutdown_seconds", SHUTDOWN_SECONDS)
    options = {"ws": "websockets-sansio", "port": port, "ws-max-size": most, "timeout-graceful-shutdown": seconds}
    return [
        *(sys.executable, "-m", "uvicorn", "app.main:app"),
        *(word for name, value in options.items() for word in (f"--{name}", str(value))),
    ]


def chosen(environment: Mapping[str, str]) -> str:
    """Return the way that `TEST_WAY` names. Raises `ValueError` where it names none."""
    name = environment.get("TEST_WAY", NAMES[0])
    if name not in NAMES:
        raise ValueError(f"TEST_WAY is one of {', '.join(NAMES)}; not {name}")
    return name


WAY = chosen(os.environ)
IS_PLAIN = WAY == "plain"
needs_our_protocols = pytest.mark.skipif(IS_PLAIN, reason="plain uvicorn leaves this out")
needs_our_log = pytest.mark.skipif(IS_PLAIN, reason="plain uvicorn has a log of its own")
