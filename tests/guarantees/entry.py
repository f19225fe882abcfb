"""A line of the long half: what it tries, what it is called, and how it is played."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.guarantees.outcome import Outcome, first
from tests.server import ROOT

Scenario = Callable[[Path], Coroutine[Any, Any, Outcome]]


@dataclass(frozen=True)
class Entry:
    """A scenario: the guarantee it tries, its name on the command line, what it does, and both its sizes."""

    guarantee: str
    name: str
    title: str
    long: Scenario
    quick: Scenario

    @property
    def words(self) -> set[str]:
        """What chooses it on the command line."""
        return {self.guarantee, self.name}


def by_pytest(*arguments: str, **environment: str) -> Scenario:
    """Return a scenario that runs tests in a process of their own; its figures are pytest's last line."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    run = partial(subprocess.run, command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)

    async def scenario(_: Path) -> Outcome:
        ended = await asyncio.to_thread(run)
        lines = ended.stdout.strip().splitlines() or [ended.stderr.strip()]
        figures = re.sub(r"^=+ | in [\d.]+s.*$", "", lines[-1])
        return Outcome(figures, [] if ended.returncode == 0 else first(lines[-40:], 40))

    return scenario
