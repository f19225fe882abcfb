"""The ways a server is run, of which `TEST_WAY` chooses one for all tests that start one.

With the door open (`python -m app serve`: our protocols, see `app/delivery`), or shut (plain `uvicorn app.main:app`, as
somebody may run it who has a server of their own); on uvloop, or on asyncio's own event loop, as where uvloop cannot be
had. "open-uvloop" is the default. `make test` tries the others in what is marked `ways`, `make soak` in everything.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from app.settings import Settings

NAMES = ("open-uvloop", "open-asyncio", "shut-uvloop", "shut-asyncio")

# An import that fails, as it does where uvloop is not installed.
WITHOUT_UVLOOP = "import runpy, sys; sys.modules['uvloop'] = None; runpy.run_module('app', run_name='__main__')"
FRAME_LENGTH = Settings.model_fields["frame_length"].default
SHUTDOWN_SECONDS = Settings.model_fields["shutdown_seconds"].default
BYTES_PER_CHARACTER = 4


@dataclass(frozen=True)
class Way:
    """How a server is run."""

    is_open: bool  # the door
    loop: str

    def command(self, port: int, settings: Mapping[str, object]) -> list[str]:
        """Return the command that serves on `port`; the rest of the `settings` is in the environment."""
        if self.is_open and self.loop == "uvloop":
            return [sys.executable, "-m", "app", "serve"]
        if self.is_open:
            return [sys.executable, "-c", WITHOUT_UVLOOP, "serve"]
        # What our command line takes from the settings, an operator has to tell uvicorn.
        most = int(str(settings.get("frame_length", FRAME_LENGTH))) * BYTES_PER_CHARACTER
        seconds = settings.get("shutdown_seconds", SHUTDOWN_SECONDS)
        options = {"ws": "websockets-sansio", "loop": self.loop, "port": port, "ws-max-size": most}
        options["timeout-graceful-shutdown"] = str(seconds)
        return [
            *(sys.executable, "-m", "uvicorn", "app.main:app"),
            *(word for name, value in options.items() for word in (f"--{name}", str(value))),
        ]


def named(name: str) -> Way:
    """Return the way with one of the `NAMES`."""
    if name not in NAMES:
        raise ValueError(f"TEST_WAY is one of {', '.join(NAMES)}; not {name}")
    door, _, loop = name.partition("-")
    return Way(door == "open", loop)


WAY = named(os.environ.get("TEST_WAY", NAMES[0]))
behind_the_door = pytest.mark.skipif(not WAY.is_open, reason="plain uvicorn leaves this out")
with_our_log = pytest.mark.skipif(not WAY.is_open, reason="plain uvicorn has a log of its own")
