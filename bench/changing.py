"""What a change of a message costs the server beside a new message: members who do one thing after the other."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle, islice

from websockets.asyncio.client import ClientConnection, connect

from bench import machine

KINDS = ("append", "edit", "react")
Fields = dict[str, str]


def frame(kind: str, position: int, number: int) -> Fields:
    """Return what a member, whose message is at `position`, sends the n-th time that they do this."""
    match kind:
        case "append":
            return {"message": f"message {number} of a long day", "key": f"key-{number}"}
        case "edit":
            return {"pick": str(position), "edit": f"edited for the {number}th time"}
        case _:
            return {"pick": str(position), "react" if number % 2 else "unreact": "👍"}


def is_answer(kind: str, text: str) -> bool:
    """Whether a frame says that it is done."""
    return ("#keys" if kind == "append" else 'id="pick-none"') in text


async def play(port: int, pid: int, cookies: Sequence[str], room: str, turns: int, seconds: float) -> dict[str, float]:
    """Have the members do each of the `KINDS` in a new room, in turn, each time for so many `seconds`.

    Nobody has resumed, so that nobody is shown anything. Returns by kind the server's CPU seconds for one, and
    how many there were per second.
    """
    count, cpu = Counter[str](), Counter[str]()
    links = [
        await connect(f"ws://127.0.0.1:{port}{room}", additional_headers={"Cookie": cookie}, max_size=None)
        for cookie in cookies
    ]
    for link in links:  # there is something to change: the n-th message is the n-th member's
        await _ask(link, "append", frame("append", 0, 0))
    for turn, kind in enumerate(islice(cycle(KINDS), turns * len(KINDS)), start=1):
        before = machine.cpu_of_family(pid)
        until = asyncio.get_running_loop().time() + seconds
        numbers = iter(range(turn * 10**6 + 1, (turn + 1) * 10**6))
        members = enumerate(links, start=1)
        each = await asyncio.gather(
            *(_repeat(link, kind, position, numbers.__next__, until) for position, link in members)
        )
        count[kind] += sum(each)
        cpu[kind] += machine.cpu_of_family(pid) - before  # type: ignore[assignment]
    for link in links:
        await link.close()
    costs = {kind: cpu[kind] / count[kind] for kind in KINDS}
    rates = {f"{kind}_rate": count[kind] / turns / seconds for kind in KINDS}
    return {**costs, **rates}


async def _repeat(link: ClientConnection, kind: str, position: int, number: Callable[[], int], until: float) -> int:
    done = 0
    while asyncio.get_running_loop().time() < until:
        await _ask(link, kind, frame(kind, position, number()))
        done += 1
    return done


async def _ask(link: ClientConnection, kind: str, fields: Fields) -> None:
    await link.send(json.dumps(fields))
    while not is_answer(kind, str(await link.recv())):
        pass
