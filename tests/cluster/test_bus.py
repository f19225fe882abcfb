"""“Room R has reached position P”, told to every process."""

import inspect

from app.cluster.bus import LocalBus


def test_every_listener_hears_each_announcement() -> None:
    bus, heard, heard_too = LocalBus(), list[tuple[str, int]](), list[tuple[str, int]]()
    bus.listen(lambda topic, position: heard.append((topic, position)))
    bus.listen(lambda topic, position: heard_too.append((topic, position)))
    bus.announce("room:1", 7)
    bus.hear("rooms", 1)
    assert heard == heard_too == [("room:1", 7), ("rooms", 1)]


def test_an_announcement_that_nobody_hears_is_lost() -> None:
    bus, heard = LocalBus(), list[tuple[str, int]]()
    bus.announce("room:1", 7)
    bus.listen(lambda topic, position: heard.append((topic, position)))
    assert heard == []


def test_announcing_is_a_plain_function() -> None:
    assert not inspect.iscoroutinefunction(LocalBus.announce)
