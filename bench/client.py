"""The load client's way in and out: `bench/build/load` on its core, options in, checked figures out."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from bench import machine
from bench.servers import BUILD, Server, last_words

DEADLINE = 120  # seconds until the client gives up by itself
GRACE = 30  # seconds more until we give up on the client


class Failed(Exception):
    """A measurement that does not count: something was lost, doubled, out of order, refused, late, or never came.

    `figures` are those that the load client had by then.
    """

    def __init__(self, why: str, figures: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(why)
        self.figures = figures


def load(server: Server, scenario: str, **options: object) -> dict[str, Any]:
    """Play one scenario of the load client's against `server`; returns its figures.

    Options are named as the client's, `--readers-per-room` is `readers_per_room`. Raises `Failed`.
    """
    command = _command(server, scenario, options)
    with machine.pinned(machine.cores()[1]):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, errors = process.communicate(timeout=int(str(options.get("deadline", DEADLINE))) + GRACE)
    except subprocess.TimeoutExpired as error:
        raise Failed("the load client hangs") from error
    finally:
        process.kill()
    return _figures(server, out, errors, process.returncode)


@contextmanager
def crowd(server: Server, **options: object) -> Iterator[dict[str, Any]]:
    """Have idle connections to `server` for as long as the context lasts; gives the figures of their coming."""
    command = _command(server, "idle", options)
    with machine.pinned(machine.cores()[1]):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
    assert process.stdin and process.stdout and process.stderr
    try:
        line = process.stdout.readline()
        if not line:
            raise Failed(_explain(server, "no connections", process.stderr.read()))
        yield _figures(server, line, b"", 0)
        process.stdin.close()
        process.wait(GRACE)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def _command(server: Server, scenario: str, options: dict[str, object]) -> list[str]:
    given = {
        "port": server.port,
        "ports": len(server.pids),
        "protocol": server.competitor.protocol,
        "pid": server.pids,
        **({"database": server.database.pid} if server.database else {}),
        "size": server.text_length,
        "deadline": DEADLINE,
        **({"cookies": server.folder / "cookies"} if server.is_parlor() else {}),
        **options,
    }
    return [str(BUILD / "load"), scenario, *arguments(given)]


def arguments(options: Mapping[str, object]) -> list[str]:
    """Return `options` as the client takes them: a true one is a flag, a false one is left out.

    What is a tuple is given several times.
    """
    words: list[str] = []
    for name, given in options.items():
        for value in given if isinstance(given, tuple) else (given,):
            if value is not False:
                words.append(f"--{name.replace('_', '-')}")
            if not isinstance(value, bool):
                words.append(str(value))
    return words


def _figures(server: Server, out: bytes, errors: bytes, status: int) -> dict[str, Any]:
    try:
        figures: dict[str, Any] = json.loads(out)
    except ValueError as error:
        raise Failed(_explain(server, f"the load client ended with {status}", errors)) from error
    if status or "error" in figures:
        raise Failed(_explain(server, str(figures.get("error", status)), errors), figures)
    return figures


def _explain(server: Server, what: str, errors: bytes) -> str:
    words = [what, errors.decode("utf-8", "replace").strip(), last_words(server.folder)]
    return " | ".join(filter(None, words))
