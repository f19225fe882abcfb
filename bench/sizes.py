"""How many, how long: the sizes of a real run, and those of one that only shows that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How many browsers, messages and seconds the scenarios take."""

    readers: int = 1000
    crowd: int = 4000
    most: int = 10_000
    messages: int = 200  # of one broadcast after the other
    crowd_messages: int = 50
    most_messages: int = 20
    many_messages: int = 1000  # for the tail of the distribution
    senders: int = 32  # that await their receipts
    writers: int = 100  # of the readers, where messages come at a rate: nobody writes a hundred times a second
    seconds: int = 5  # of a rate that is tried, and of pages
    turns: int = 8  # of new messages, edits and reactions
    turn: float = 1.0  # seconds of each
    slow_seconds: int = 15  # longer than a reader may stall
    slow_none: int = 0  # readers that stall at once
    slow_one: int = 1
    slow_many: int = 50
    slow_many_seconds: int = 25
    nobody: int = 0  # beside those who send
    shared_rate: int = 50  # messages per second to those who are at several processes
    shared_seconds: int = 8  # of it, and of saying nothing: CPU time comes in hundredths of a second, of each process
    notifications: int = 1000
    searched: int = 1_000_000  # messages
    arrivals: int = 20_000  # in a page that stays open
    rooms: int = 1000
    readers_per_room: int = 5
    turn_seconds: int = 20  # in all, of those with readers and those without
    ladder: tuple[int, ...] = (
        *(10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 250, 300, 400, 500, 750),
        *(1000, 1500, 2000, 2500, 3000, 3500, 4000, 5000, 6000, 8000, 10_000),
    )  # messages per second


FULL = Sizes()
QUICK = Sizes(
    readers=100,
    crowd=300,
    most=500,
    messages=30,
    crowd_messages=20,
    most_messages=5,
    many_messages=100,
    senders=8,
    writers=10,
    seconds=1,
    turns=2,
    turn=0.3,
    slow_seconds=12,
    slow_many=10,
    slow_many_seconds=12,
    shared_seconds=2,
    notifications=100,
    searched=20_000,
    arrivals=300,
    rooms=20,
    turn_seconds=2,
    ladder=(50, 200, 1000, 4000),
)
