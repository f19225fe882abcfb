"""Those who are sent the same frames."""

import pytest

from app.delivery.connection import Connection
from app.delivery.encoding import Data, Frame, Way
from app.delivery.fanout import Channel
from app.delivery.transport import Reader
from tests.delivery.test_encoding import Browser


class Outlet:
    """A browser that takes everything, one way."""

    unsent = 0

    def __init__(self, way: Way) -> None:
        self.way = way
        self.sent: list[Data] = []
        self.inflater = Browser()

    def write(self, data: Data) -> None:
        self.sent.append(data)

    def attach(self, reader: Reader) -> None:
        """It never has enough."""

    @property
    def texts(self) -> list[str]:
        """What it has read, in order."""
        return [each if isinstance(each, str) else self.inflater.read(each) for each in self.sent]


def join(channel: Channel, way: Way) -> tuple[Connection, Outlet]:
    outlet = Outlet(way)
    connection = Connection(None, "UTC", outlet, 1_000, 8)
    channel.join(connection)
    return connection, outlet


async def test_everybody_is_sent_the_same_each_their_way() -> None:
    channel = Channel()
    outlets = [join(channel, way)[1] for way in (*Way, *Way)]
    channel.publish("hello")
    channel.publish("hello")
    assert [outlet.texts for outlet in outlets] == [["hello", "hello"]] * 6
    assert len(channel) == 6


async def test_who_takes_it_the_same_way_is_sent_the_same_bytes() -> None:
    channel = Channel()
    for way in Way:
        (_, one), (_, other) = join(channel, way), join(channel, way)
        channel.publish("hello")
        assert one.sent[0] is other.sent[0]


@pytest.mark.breaks("app/delivery/fanout.py", "self._stream.restart()", "pass")
async def test_who_joins_later_reads_from_there_on() -> None:
    channel = Channel()
    _, first = join(channel, Way.DEFLATED)
    channel.publish("hello, hello, hello")
    late, second = join(channel, Way.DEFLATED)
    late.offer("to you alone")
    channel.publish("hello, hello, hello")
    assert first.texts == ["hello, hello, hello"] * 2
    assert second.texts == ["to you alone", "hello, hello, hello"]


async def test_who_comes_back_has_caught_up_meanwhile() -> None:
    channel = Channel()
    connection, outlet = join(channel, Way.DEFLATED)
    channel.publish("one")
    channel.leave(connection)
    channel.publish("two")
    connection.offer(Frame("two"))
    channel.join(connection)
    channel.publish("three")
    assert outlet.texts == ["one", "two", "three"]


async def test_who_has_left_is_sent_nothing() -> None:
    channel = Channel()
    for way in Way:
        connection, outlet = join(channel, way)
        assert connection in channel
        channel.leave(connection)
        channel.leave(connection)
        channel.publish("hello")
        assert outlet.sent == []
        assert connection not in channel
    assert len(channel) == 0
