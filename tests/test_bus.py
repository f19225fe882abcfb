"""“Room R has reached position P”, told to every process."""

import inspect

from app.bus import LocalBus


def test_everybody_who_listens_hears_of_a_room_that_grew() -> None:
    bus, heard, heard_too = LocalBus(), list[tuple[int, int]](), list[tuple[int, int]]()
    bus.listen(lambda room_id, position: heard.append((room_id, position)))
    bus.listen(lambda room_id, position: heard_too.append((room_id, position)))
    bus.announce(1, 7)
    bus.announce(2, 1)
    assert heard == heard_too == [(1, 7), (2, 1)]


def test_an_announcement_that_nobody_hears_is_lost() -> None:
    bus, heard = LocalBus(), list[tuple[int, int]]()
    bus.announce(1, 7)
    bus.listen(lambda room_id, position: heard.append((room_id, position)))
    assert heard == []


def test_announcing_is_a_plain_function() -> None:
    assert not inspect.iscoroutinefunction(LocalBus.announce)
