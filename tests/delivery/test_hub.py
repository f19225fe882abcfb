"""The audiences of a process, and `publish`."""

import inspect

import pytest

from app.chat.messages import Member
from app.chat.timeline import Changes, Excerpt
from app.delivery.connection import Connection
from app.delivery.encoding import Data, Encoding, Frame
from app.delivery.hub import Audience, Backlog, Hub
from app.delivery.transport import FlowListener as Told
from tests.cast import ANN, BOB, LOBBY, WATERCOOLER, message


class Stalled:
    """A browser that takes nothing."""

    encoding = Encoding.TEXT
    unsent = 0

    def attach(self, reader: Told) -> None:
        reader.pause()

    def write(self, data: Data) -> None:
        raise AssertionError("nothing is written to who takes nothing")


class FlowListener(Connection):
    """A connection that remembers what it was offered; nobody takes it off its hands."""

    __slots__ = ()

    def __init__(self, member: Member | None = None, time_zone: str = "UTC", limit: int = 1_000) -> None:
        super().__init__(member, time_zone, Stalled(), limit, stall_seconds=3600)

    @property
    def offered(self) -> list[Data]:
        """What stands in the outbox."""
        return list(self._outbox)


@pytest.fixture
def fan_outs() -> list[tuple[float, int]]:
    return []


@pytest.fixture
def hub(fan_outs: list[tuple[float, int]]) -> Hub:
    return Hub(lambda seconds, recipients: fan_outs.append((seconds, recipients)))


@pytest.fixture
def lobby(hub: Hub) -> Audience:
    return hub.admit(Audience(LOBBY, [message(7)], 10))


def hello(zone: str) -> str:
    return f"hello in {zone}"


def enter(hub: Hub, audience: Audience, reader: FlowListener) -> FlowListener:
    hub.enter(audience, reader)
    hub.join(audience, reader)
    return reader


# The tail


def said(*places: int) -> Changes:
    return Changes(places[0] - 1, places[-1], [message(place) for place in places], [])


def positions(excerpt: Excerpt | None) -> list[int]:
    return [each.position for each in excerpt.messages] if excerpt else []


@pytest.mark.breaks("app/delivery/hub.py", " and self.position == self.reached", "")
def test_the_newest_messages_are_known_where_the_tail_is_long_enough_and_nothing_is_still_to_be_shown() -> None:
    audience = Audience(LOBBY, [message(position) for position in (1, 2, 3)], 4)
    assert positions(audience.newest(2)) == [2, 3]
    assert positions(audience.newest(9)) == [1, 2, 3]
    audience.advance(said(4, 5))
    assert positions(audience.newest(4)) == [2, 3, 4, 5]
    assert audience.newest(5) is None
    audience.reached = 6
    assert audience.newest(2) is None
    assert Audience(WATERCOOLER, [], 4).newest(2) is None


# Publish


def test_publishing_is_a_plain_function() -> None:
    assert not inspect.iscoroutinefunction(Hub.publish)
    assert not inspect.isgeneratorfunction(Hub.publish)


async def test_a_frame_reaches_every_joined_connection(hub: Hub, lobby: Audience) -> None:
    readers = [enter(hub, lobby, FlowListener(member)) for member in (ANN, ANN, BOB, None)]
    hub.publish(lobby, hello)
    assert [reader.offered for reader in readers] == [["hello in UTC"]] * 4


async def test_frames_are_rendered_once_for_each_time_zone(hub: Hub, lobby: Audience) -> None:
    zones = ["UTC", "Europe/Berlin", "UTC", "Europe/Berlin", "Asia/Kathmandu"]
    readers = [enter(hub, lobby, FlowListener(time_zone=zone)) for zone in zones]
    rendered: list[str] = []

    def render(zone: str) -> str:
        rendered.append(zone)
        return hello(zone)

    hub.publish(lobby, render)
    assert sorted(rendered) == sorted(set(zones))
    assert [reader.offered for reader in readers] == [[hello(zone)] for zone in zones]
    # Not merely equal: it is encoded once, too.
    assert readers[0].offered[0] is readers[2].offered[0]


async def test_nothing_is_rendered_without_an_audience(
    hub: Hub, lobby: Audience, fan_outs: list[tuple[float, int]]
) -> None:
    hub.publish(lobby, lambda zone: pytest.fail("rendered for nobody"))
    assert [recipients for _, recipients in fan_outs] == [0]


async def test_a_connection_gets_nothing_before_its_resume(hub: Hub, lobby: Audience) -> None:
    reader = FlowListener(ANN)
    hub.enter(lobby, reader)
    hub.publish(lobby, hello)
    assert reader.offered == []
    assert reader not in lobby


async def test_a_paused_connection_gets_nothing_until_it_joins(hub: Hub, lobby: Audience) -> None:
    reader = enter(hub, lobby, FlowListener(ANN))
    assert reader in lobby
    hub.pause(lobby, reader)
    assert reader not in lobby
    hub.publish(lobby, hello)
    assert reader.offered == []
    hub.join(lobby, reader)
    hub.publish(lobby, hello)
    assert reader.offered == ["hello in UTC"]


async def test_a_departed_connection_gets_nothing(hub: Hub, lobby: Audience) -> None:
    reader, other = enter(hub, lobby, FlowListener(ANN)), enter(hub, lobby, FlowListener(BOB))
    hub.leave(lobby, reader, now=0)
    hub.publish(lobby, hello)
    assert reader.offered == []
    assert other.offered == ["hello in UTC"]


async def test_joining_twice_is_joining_once(hub: Hub, lobby: Audience) -> None:
    reader = enter(hub, lobby, FlowListener(ANN))
    hub.join(lobby, reader)
    hub.publish(lobby, hello)
    assert reader.offered == ["hello in UTC"]


async def test_pausing_twice_or_before_joining_is_nothing(hub: Hub, lobby: Audience) -> None:
    reader, other = FlowListener(ANN), enter(hub, lobby, FlowListener(BOB))
    hub.pause(lobby, reader)
    hub.enter(lobby, reader)
    hub.pause(lobby, reader)
    hub.pause(lobby, reader)
    hub.publish(lobby, hello)
    assert other.offered == ["hello in UTC"]


async def test_rooms_do_not_hear_each_other(hub: Hub, lobby: Audience) -> None:
    watercooler = hub.admit(Audience(WATERCOOLER, [], 10))
    ann, bob = enter(hub, lobby, FlowListener(ANN)), enter(hub, watercooler, FlowListener(BOB))
    hub.publish(watercooler, hello)
    assert (ann.offered, bob.offered) == ([], ["hello in UTC"])


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_cut_off_reader_does_not_disturb_others(hub: Hub, lobby: Audience, place: int) -> None:
    readers = [enter(hub, lobby, FlowListener(limit=20 if each == place else 1_000)) for each in range(3)]
    for _ in range(5):
        hub.publish(lobby, hello)
    assert [bool(reader.cut_off) for reader in readers] == [each == place for each in range(3)]
    assert [len(reader.offered) for reader in readers] == [0 if each == place else 5 for each in range(3)]


async def test_a_subscriber_may_leave_during_a_publish(hub: Hub, lobby: Audience) -> None:
    hasty = [enter(hub, lobby, FlowListener(time_zone=zone)) for zone in ("UTC", "Europe/Berlin")]
    for reader in hasty:
        reader.push = lambda data, reader=reader: hub.leave(lobby, reader, now=0)  # type: ignore[misc]
    others = [enter(hub, lobby, FlowListener(time_zone=zone)) for zone in ("UTC", "Europe/Berlin")]
    hub.publish(lobby, hello)
    assert [reader.offered for reader in others] == [["hello in UTC"], ["hello in Europe/Berlin"]]
    assert not any(reader in lobby for reader in hasty)


async def test_fan_out_counts_its_recipients(hub: Hub, lobby: Audience, fan_outs: list[tuple[float, int]]) -> None:
    for zone in ("UTC", "UTC", "Europe/Berlin"):
        enter(hub, lobby, FlowListener(time_zone=zone))
    hub.publish(lobby, hello)
    ((seconds, recipients),) = fan_outs
    assert recipients == 3
    assert seconds >= 0


# Coming and going


async def test_a_socket_makes_its_member_present(hub: Hub, lobby: Audience) -> None:
    enter(hub, lobby, FlowListener(ANN))
    enter(hub, lobby, FlowListener(None))
    assert lobby.presence.members() == [ANN]


async def test_leaving_twice_is_leaving_once(hub: Hub, lobby: Audience) -> None:
    tab, other_tab = enter(hub, lobby, FlowListener(ANN)), enter(hub, lobby, FlowListener(ANN))
    hub.leave(lobby, tab, now=0)
    hub.leave(lobby, tab, now=0)
    lobby.presence.sweep(now=1000, grace=10)
    assert lobby.presence.members() == [ANN]
    hub.leave(lobby, other_tab, now=1000)
    lobby.presence.sweep(now=1010, grace=10)
    assert lobby.presence.members() == []


async def test_leaving_without_a_resume_ends_presence(hub: Hub, lobby: Audience) -> None:
    reader = FlowListener(ANN)
    hub.enter(lobby, reader)
    hub.leave(lobby, reader, now=0)
    assert not lobby.visitors


async def test_past_connections_leave_nothing_in_memory(hub: Hub, lobby: Audience) -> None:
    for number in range(100):
        member = Member(str(number), f"member {number}", "UTC")
        reader = enter(hub, lobby, FlowListener(member, time_zone=f"Zone/{number}"))
        hub.publish(lobby, hello)
        hub.leave(lobby, reader, now=0)
    lobby.presence.sweep(now=10, grace=10)
    assert not lobby.visitors
    assert not lobby.channels
    assert len(lobby.presence) == 0
    hub.forget_empty()
    assert hub.audiences() == []


# Audiences


def test_a_room_has_an_audience_when_somebody_looks(hub: Hub) -> None:
    assert hub.audience(LOBBY.id) is None
    audience = hub.admit(Audience(LOBBY, [], 10))
    assert hub.audience(LOBBY.id) is audience
    assert hub.audiences() == [audience]


def test_the_first_audience_of_a_room_is_the_one_in_force(hub: Hub, lobby: Audience) -> None:
    assert hub.admit(Audience(LOBBY, [], 10)) is lobby


def test_an_audience_starts_where_its_log_ends() -> None:
    audience = Audience(LOBBY, [message(7)], 10)
    assert (audience.position, audience.reached) == (7, 7)
    assert audience.last == message(7)
    assert audience.is_empty()


def test_an_audience_knows_the_newest_that_it_was_shown() -> None:
    audience = Audience(LOBBY, [], longest_tail=3)
    assert audience.since(0) is None
    audience.advance(said(1, 2))
    assert audience.since(0) == (None, said(1, 2))
    assert audience.since(2) == (message(2), Changes(2, 2, [], []))
    audience.backlogs[1, "UTC"] = Backlog([Frame("message 2")], 2)
    audience.advance(said(3, 4))
    assert (audience.position, audience.last) == (4, message(4))
    assert audience.since(2) == (message(2), said(3, 4))
    assert audience.since(1) is None  # the log has to be asked
    assert audience.since(0) is None
    assert not audience.backlogs  # they end too early now


async def test_an_audience_with_a_visitor_is_not_forgotten(hub: Hub, lobby: Audience) -> None:
    reader = FlowListener(None)
    hub.enter(lobby, reader)  # not joined: still on the way
    hub.forget_empty()
    assert hub.audience(LOBBY.id) is lobby
    hub.leave(lobby, reader, now=0)
    hub.forget_empty()
    assert hub.audience(LOBBY.id) is None


async def test_an_audience_in_somebodys_grace_is_not_forgotten(hub: Hub, lobby: Audience) -> None:
    reader = enter(hub, lobby, FlowListener(ANN))
    hub.leave(lobby, reader, now=0)
    hub.forget_empty()
    assert hub.audience(LOBBY.id) is lobby
    lobby.presence.sweep(now=10, grace=10)
    hub.forget_empty()
    assert hub.audience(LOBBY.id) is None


async def test_forgetting_one_room_leaves_the_others(hub: Hub, lobby: Audience) -> None:
    hub.admit(Audience(WATERCOOLER, [], 10))
    enter(hub, lobby, FlowListener(ANN))
    hub.forget_empty()
    assert hub.audiences() == [lobby]
