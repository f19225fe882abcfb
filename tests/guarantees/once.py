"""G1 and G3: the same submission is one message, however often and by whichever way it comes."""

import asyncio
import json
from collections import Counter
from pathlib import Path

from tests.guarantees import ledger
from tests.guarantees.crowd import CROWD, Guest, members, request
from tests.guarantees.outcome import Outcome, first
from tests.server import serving

TIMES = 10


async def once(data: Path) -> Outcome:
    """Submit one message ten times on two sockets and through the form, at once, and again after each restart."""
    with serving(data, **CROWD) as server:
        ann, bob = await members(server.host, ("Ann", "Bob"))
        tab = Guest(ann.host, cookie=ann.cookie, backoff=ann.backoff)
        guests = [ann, tab, bob]
        try:
            await asyncio.gather(*(guest.come() for guest in guests))
            for end in (server.stop, server.kill):
                await submit(ann, tab)
                backs = [guest.comes_back() for guest in guests]
                await asyncio.to_thread(end)
                await asyncio.to_thread(server.start)
                await asyncio.gather(*backs)
            submissions = 3 * await submit(ann, tab)
            # What only looks alike is another message: another text, key or author.
            for guest, text, key in ((ann, "other", "key"), (ann, "same", "other-key"), (bob, "same", "key")):
                await guest.receipt(await guest.say(text, key))
            log = ledger.read(data)
            await asyncio.gather(*(guest.reaches(len(log)) for guest in guests))
        finally:
            await asyncio.gather(*(guest.go() for guest in guests))
    failures = [f"message {position} is {text}" for position, text in log.items() if position > 4]
    if Counter(log.values()) != Counter({"same": 3, "other": 1}):
        failures.append(f"stored are {list(log.values())}")
    failures += ledger.differences(log, guests)
    stored = sum(text == "same" for text in log.values()) - 2
    figures = f"{submissions} submissions of one message in 3 lives of the server, {stored} stored"
    return Outcome(figures, first(failures))


async def submit(*windows: Guest) -> int:
    """Send it from all `windows` at once, on its own and in a list, and through the form; returns how often."""
    one = json.dumps({"message": "same", "key": "key"})
    two = json.dumps({"message": ["same", "same"], "key": ["key", "key"]})
    form = {"message": "same", "key": "key"}
    known = [window.answered for window in windows]
    sending = [
        window.link.send(frame) for window in windows if window.link for _ in range(TIMES // 2) for frame in (one, two)
    ]
    posting = [
        request(window.host, "POST", f"/rooms/{window.room}/messages", form, window.cookie)
        for window in windows
        for _ in range(TIMES // len(windows))
    ]
    await asyncio.gather(*sending, *posting)
    for window, answers in zip(windows, known, strict=True):
        await window.until(lambda window=window, answers=answers: window.answered >= answers + TIMES, "its answers")
    return len(windows) * (TIMES // 2 * 3) + len(posting)
