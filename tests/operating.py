"""What an operator has: the command line, and a chat in which people have talked."""

import asyncio
import io
import os
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from app.__main__ import main
from app.store.store import Store, utc_now


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    status: int
    out: str
    error: str

    @property
    def done(self) -> str:
        """What it says that it has done, which it has to."""
        assert (self.status, self.error) == (0, ""), self
        return self.out

    @property
    def refusal(self) -> str:
        """Why it does not do what it was asked for, in one line."""
        assert self.status == 1 and self.error.count("\n") == 1, self
        return self.error


def parlor(data: Path, *words: object, **settings: object) -> Ended:
    """Run a command on the data folder `data`, with `settings` named as in `settings.py`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLOR_")}
    environment["PARLOR_DATA_DIR"] = str(data)
    environment |= {f"PARLOR_{name.upper()}": str(value) for name, value in settings.items()}
    out, error = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, environment, clear=True), redirect_stdout(out), redirect_stderr(error):
        try:
            status = main([str(word) for word in words])
        except SystemExit as exit:  # argparse's way
            status = int(exit.code or 0)
    return Ended(status, out.getvalue(), error.getvalue())


def sqlite_url(data: Path) -> str:
    """Return the address of the database in a data folder."""
    return f"sqlite:///{data / 'parlor.db'}"


def talk(url: str, said: Sequence[str] = ("one", "two", "three"), name: str = "Ann") -> str:
    """Have somebody say this in the lobby of the log at `url`, which is made where there is none; returns its epoch."""

    async def say() -> str:
        async with Store(url, utc_now).opened("Lobby") as store:
            lobby, *_ = await store.rooms()
            member = await store.take_name(None, name, "Europe/Berlin", 30)
            for number, body in enumerate(said):
                await store.append(lobby.id, member, body, f"key {number}")
            return store.epoch

    return asyncio.run(say())


def bodies(url: str) -> list[str]:
    """Return what was said in the lobby."""

    async def read() -> list[str]:
        async with Store(url, utc_now).opened("Lobby") as store:
            lobby, *_ = await store.rooms()
            return [message.body for message in (await store.changes(lobby.id, 0, 1_000_000, 1_000_000)).new]

    return asyncio.run(read())
