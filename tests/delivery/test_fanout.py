"""Fan-out: one encoding per frame, the same bytes to every subscriber."""

import pytest

from app.delivery.connection import Connection
from app.delivery.encoding import Data, Encoding, Frame
from app.delivery.fanout import Channel
from app.delivery.transport import FlowListener
from tests.delivery.test_encoding import Browser


class Transport:
    """A browser that takes everything, one way."""

    unsent = 0

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.sent: list[Data] = []
        self.inflater = Browser()

    def write(self, data: Data) -> None:
        self.sent.append(data)

    def attach(self, reader: FlowListener) -> None:
        """It never has enough."""

    @property
    def texts(self) -> list[str]:
        """What it has read, in order."""
        return [each if isinstance(each, str) else self.inflater.read(each) for each in self.sent]


def join(channel: Channel, encoding: Encoding) -> tuple[Connection, Transport]:
    transport = Transport(encoding)
    connection = Connection(None, "UTC", transport, 1_000, 8)
    channel.join(connection)
    return connection, transport


async def test_everybody_is_sent_the_same_each_their_way() -> None:
    channel = Channel()
    transports = [join(channel, encoding)[1] for encoding in (*Encoding, *Encoding)]
    channel.publish("hello")
    channel.publish("hello")
    assert [transport.texts for transport in transports] == [["hello", "hello"]] * 6
    assert len(channel) == 6


async def test_one_encoding_is_shared_by_its_subscribers() -> None:
    channel = Channel()
    for encoding in Encoding:
        (_, one), (_, other) = join(channel, encoding), join(channel, encoding)
        channel.publish("hello")
        assert one.sent[0] is other.sent[0]


@pytest.mark.breaks("app/delivery/fanout.py", "self._stream.restart()", "pass")
async def test_a_late_subscriber_reads_from_its_start() -> None:
    channel = Channel()
    _, first = join(channel, Encoding.DEFLATED)
    channel.publish("hello, hello, hello")
    late, second = join(channel, Encoding.DEFLATED)
    late.offer("to you alone")
    channel.publish("hello, hello, hello")
    assert first.texts == ["hello, hello, hello"] * 2
    assert second.texts == ["to you alone", "hello, hello, hello"]


async def test_a_resume_waits_until_the_audience_has_caught_up() -> None:
    channel = Channel()
    connection, transport = join(channel, Encoding.DEFLATED)
    channel.publish("one")
    channel.leave(connection)
    channel.publish("two")
    connection.offer(Frame("two"))
    channel.join(connection)
    channel.publish("three")
    assert transport.texts == ["one", "two", "three"]


async def test_a_departed_subscriber_is_sent_nothing() -> None:
    channel = Channel()
    for encoding in Encoding:
        connection, transport = join(channel, encoding)
        assert connection in channel
        channel.leave(connection)
        channel.leave(connection)
        channel.publish("hello")
        assert transport.sent == []
        assert connection not in channel
    assert len(channel) == 0
