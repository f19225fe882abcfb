"""Many in one room, each with a compression of their own: everybody is shown everything, once and in order.

RFC 7692 has each receiver inflate with one context that never forgets (unless agreed otherwise), so it notices every
frame that was compressed for somebody else, or that it was not sent. Nobody here knows how the server goes about it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from html import unescape
from itertools import count
from random import Random

import pytest

from tests.guarantees.crowd import CROWD, CURSOR, MESSAGE, RECEIPT
from tests.profile import PROFILE
from tests.protocol.parlor import NOTICE, House, resume, saying
from tests.protocol.raw import DEFAULT_OFFER, PING, RSV1, TEXT, Frame, Raw, close, connected, text
from tests.server import serving

# Nobody is cut off for reading late, and much is sent that is no message.
SETTINGS = {**CROWD, "message_length": 20_000, "heartbeat": 0.3, "presence_grace": 0} | {
    "stall_seconds": 60,
    "outbox_length": 10**8,
}
OFFERS = {
    "none": "",
    "default": DEFAULT_OFFER,
    "bare": "permessage-deflate",
    "fresh": "permessage-deflate; server_no_context_takeover",
    "both fresh": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "narrow": "permessage-deflate; server_max_window_bits=10",
    "narrowest": "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
    "wide": "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
    "declined": "permessage-deflate; server_max_window_bits=8",
    "second": "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=11",
}
# Each runs three scripts of their own; `make soak` many more, and others each time.
SEEDS = range(3) if PROFILE != "soak" else [Random().randrange(10**9) for _ in range(40)]  # noqa: S311
SCRIPTS = [pytest.param(seed, marks=pytest.mark.ways if seed == SEEDS[0] else ()) for seed in SEEDS]
STEPS = 100


@dataclass
class Reader:
    """Somebody in a room, who reads when told to."""

    raw: Raw
    shown: list[tuple[int, str]] = field(default_factory=list)  # positions and words
    cursor: str = ""
    notices: int = 0

    def enter(self) -> "Reader":
        """Ask for what came after the cursor, and read what answers it."""
        self._take(resume(self.raw, self.cursor))
        return self

    def hear(self, position: int) -> None:
        """Read up to the message at `position`."""
        while not self.shown or self.shown[-1][0] < position:
            self._take(self.raw.message())

    def ask_nonsense(self) -> None:
        """Send what gets an answer that is for this one alone, and read it."""
        known = self.notices
        self.raw.send(text("nonsense"), Frame(PING, b"x").encoded())
        while self.notices == known:
            self._take(self.raw.message())

    def _take(self, html: str) -> None:
        self.shown += [(int(position), unescape(words)) for position, words in MESSAGE.findall(html)]
        self.notices += html.count(NOTICE)
        for cursor in CURSOR.findall(html):
            self.cursor = cursor[0] or cursor[1]


@dataclass
class Hall:
    """A room, the one who speaks there, and those who read."""

    house: House
    slug: str
    stack: ExitStack
    words: list[str] = field(default_factory=list)  # all that was said; the first is at position 1
    settled: int = 0  # how many of them have their receipt
    readers: list[Reader] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.speaker = self.dial(DEFAULT_OFFER, self.house.cookie("Ann"))

    def dial(self, offer: str, cookie: str = "") -> Raw:
        """Open a socket."""
        raw = self.stack.enter_context(connected(self.house.server.host))
        return raw.open(self.house.server.host, f"/ws/{self.slug}", offer, *([f"Cookie: {cookie}"] if cookie else []))

    def join(self, offer: str, cookie: str = "") -> Reader:
        """Have somebody come, who is shown the newest messages and all that follow."""
        self.readers.append(Reader(self.dial(offer, cookie)).enter())
        return self.readers[-1]

    def say(self, *words: str) -> None:
        """Say all these, and wait for nothing."""
        first = len(self.words)
        self.words += words
        self.speaker.send(*(text(saying(said, f"k{first + number}")) for number, said in enumerate(words)))

    def settle(self) -> None:
        """Wait until all that was said is stored."""
        while self.settled < len(self.words):
            self.settled += len(set(RECEIPT.findall(self.speaker.message())))

    def hear_all(self) -> None:
        """Have everybody read everything, and see that it is right."""
        for reader in self.readers:
            reader.hear(len(self.words))
            self.judge(reader)

    def judge(self, reader: Reader) -> None:
        """See that `reader` was shown everything from some message on, once and in order, as it was said."""
        first = reader.shown[0][0] if reader.shown else 1
        assert reader.shown == list(enumerate(self.words, 1))[first - 1 : first - 1 + len(reader.shown)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server of their own: it sends signs of life and lists of who is here all the time."""
    with serving(tmp_path_factory.mktemp("sharing"), **SETTINGS) as server:
        yield House(server)
        assert not server.complaints
        assert not [line for line in server.log if "cut off" in line]


@pytest.fixture
def open_hall(house: House) -> Iterator[Callable[[], Hall]]:
    """Make a room with a speaker in it."""
    with ExitStack() as stack:
        yield lambda: Hall(house, house.room(), stack)


@pytest.fixture
def hall(open_hall: Callable[[], Hall]) -> Hall:
    """A room with a speaker in it."""
    return open_hall()


def noise(random: Random, size: int) -> str:
    """Return words of which nothing repeats."""
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=size))


def talk(seed: int) -> Iterator[str]:
    """Yield what somebody says: mostly alike, some of it again, and now and then more than any window holds."""
    random, said = Random(seed), list[str]()  # noqa: S311
    for number in count(1):
        match random.choices(["alike", "short", "again", "long", "letters", "😀"], (10, 4, 6, 1, 2, 1))[0]:
            case "alike":
                said.append(f"message {number} of many")
            case "short":
                said.append(noise(random, random.choice([1, 20, 300])))
            case "again" if said:
                said.append(random.choice(said[-random.choice([3, 30]) :]))
            case "letters":
                said.append("x" * random.choice([1, 4_000, 19_000]))
            case "😀":
                said.append(("κόσμε 😀 " * random.randrange(1, 200)).strip())
            case _:
                said.append(noise(random, 6_000))
        yield said[-1]


def some(words: Iterator[str], number: int) -> list[str]:
    """Return the next `number` of `words`."""
    return [next(words) for _ in range(number)]


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS.keys())
def test_a_connected_reader_is_shown_everything(hall: Hall, offer: str) -> None:
    hall.join(offer)
    words = talk(1)
    for _ in range(8):
        hall.say(*some(words, 10))
        hall.hear_all()


@pytest.mark.parametrize("newcomer", ["none", "default", "fresh", "narrow", "second"])
def test_a_newcomer_does_not_affect_present_browsers(hall: Hall, newcomer: str) -> None:
    """Who is there from the start, who comes in the middle, and who stays when the others have gone."""
    words = talk(2)
    for offer in OFFERS.values():
        hall.join(offer)
    for _ in range(3):
        hall.say(*some(words, 8))
        hall.join(OFFERS[newcomer])
        hall.say(*some(words, 8))
        hall.hear_all()
    for reader in hall.readers[:-1]:
        reader.raw.send(close(1000))
    del hall.readers[:-1]
    hall.say(*some(words, 20))
    hall.hear_all()


@pytest.mark.parametrize("seed", SCRIPTS)
def test_all_kinds_come_and_go_while_everybody_talks(hall: Hall, seed: int) -> None:
    """A script by chance: join, read, say, ask, return, leave with a word and without."""
    random, words = Random(seed), talk(seed)  # noqa: S311
    expected = 0
    for _ in range(STEPS):
        match random.choices(["say", "join", "read", "ask", "return", "leave", "vanish"], (12, 4, 8, 3, 3, 2, 1))[0]:
            case "say":
                hall.say(*some(words, random.choice([1, 1, 2, 5, 20])))
                if random.random() < 0.5:
                    hall.settle()
                    expected = len(hall.words)
            case "join" if len(hall.readers) < 16:
                hall.join(random.choice(list(OFFERS.values())))
            case ("read" | "ask" | "return" | "leave" | "vanish") as what if hall.readers:
                act(hall, random.choice(hall.readers), what, expected, random.choice(list(OFFERS.values())))
    hall.settle()
    hall.hear_all()


def act(hall: Hall, reader: Reader, what: str, position: int, offer: str) -> None:
    """Have `reader` do something; what was said up to `position` is stored, and to return is to make this offer."""
    match what:
        case "read":
            reader.hear(position)
        case "ask":
            reader.ask_nonsense()
        case "return":
            reader.raw.send(close(1000))
            reader.raw = hall.dial(offer)
            reader.enter()
        case "leave":
            reader.raw.send(close(1000))
            hall.readers.remove(reader)
        case "vanish":
            reader.raw.socket.close()
            hall.readers.remove(reader)
    hall.judge(reader)


@pytest.mark.parametrize("offer", ["none", "default", "fresh", "narrow"])
def test_a_slow_audience_catches_up(hall: Hall, offer: str) -> None:
    """What waits for it is more than all buffers take, and meanwhile others come and go."""
    late = hall.join(OFFERS[offer])
    early = hall.join(DEFAULT_OFFER)
    words = Random(3)  # noqa: S311
    for turn in range(20):
        hall.say(*(noise(words, 18_000) for _ in range(5)), f"the end of turn {turn}")
        early.hear(len(hall.words))
        if turn % 4 == 0:
            hall.join(DEFAULT_OFFER).raw.send(close(1000))
            del hall.readers[-1]
    hall.settle()
    hall.hear_all()
    late.ask_nonsense()


@pytest.mark.breaks("app/delivery/websocket_rules.py", "self._tell_end()", "pass")
@pytest.mark.parametrize("offer", ["none", pytest.param("default", marks=pytest.mark.ways)])
@pytest.mark.parametrize("last", [close(1000), Frame(3).encoded()], ids=["close", "broken"])
def test_nothing_is_sent_after_a_close(hall: Hall, offer: str, last: bytes) -> None:
    early, late = hall.join(DEFAULT_OFFER), hall.join(OFFERS[offer])
    words = Random(9)  # noqa: S311
    for turn in range(5):
        hall.say(*(noise(words, 18_000) for _ in range(8)))
        early.hear(len(hall.words))
        if turn == 2:
            late.raw.send(last)
    assert late.raw.failure() in (1000, 1002)
    hall.readers.remove(late)
    hall.hear_all()


def test_a_connection_gets_nothing_before_its_resume_and_everything_after(hall: Hall) -> None:
    words = talk(4)
    waiting = [Reader(hall.dial(offer)) for offer in OFFERS.values()]
    hall.join(DEFAULT_OFFER)
    for reader in waiting:
        hall.say(*some(words, 5))
        reader.ask_nonsense()
        assert not reader.shown
        hall.readers.append(reader.enter())
    hall.say(*some(words, 5))
    hall.hear_all()


@pytest.mark.parametrize("zones", [("UTC", "Asia/Tokyo"), ("Asia/Tokyo", "UTC"), ("UTC", "UTC")], ids="-".join)
def test_another_time_zone_changes_times_and_nothing_else(hall: Hall, house: House, zones: tuple[str, str]) -> None:
    """What is rendered for one zone is not sent to the other, and so nobody can look back at it."""
    words = talk(5)
    cookies = [house.cookie(f"Somebody in {zone}", zone) for zone in zones]
    for _ in range(3):
        for cookie in cookies:
            hall.join(DEFAULT_OFFER, cookie)
            hall.say(*some(words, 10))
    hall.hear_all()
    for reader in hall.readers[::2]:
        reader.raw.send(close(1000))
    del hall.readers[::2]
    hall.say(*some(words, 30))
    hall.hear_all()


def test_rooms_know_nothing_of_each_other(open_hall: Callable[[], Hall]) -> None:
    halls = [open_hall(), open_hall()]
    words = talk(6)
    for hall in halls:
        hall.join(DEFAULT_OFFER)
        hall.join(DEFAULT_OFFER)
    for turn in range(30):
        halls[turn % 2].say(*some(words, 4))
        if turn % 7 == 0:
            halls[turn % 2].join(DEFAULT_OFFER)
            halls[0].house.room()  # of which everybody is told
    for hall in halls:
        hall.hear_all()


def test_one_may_resume_again_on_the_same_connection(hall: Hall) -> None:
    """What answers that is for this one alone, and the others go on as before."""
    words = talk(10)
    for offer in OFFERS.values():
        hall.join(offer)
    for reader in list(hall.readers):
        hall.say(*some(words, 3))
        hall.settle()
        hall.hear_all()
        reader.enter()
    hall.say(*some(words, 10))
    hall.hear_all()


def test_pings_between_messages_disturb_nothing(hall: Hall) -> None:
    words = talk(7)
    for offer in OFFERS.values():
        hall.join(offer)
    for turn in range(30):
        hall.say(*some(words, 2))
        for reader in hall.readers:
            reader.raw.send(Frame(PING, str(turn).encode()).encoded())
    hall.hear_all()


# What it is good for


def size_of_next(hall: Hall, reader: Reader, words: str) -> int:
    """Say `words`, and return how many bytes the frame has in which they come."""
    hall.say(words)
    while (frame := reader.raw.frame()).opcode != TEXT or not is_shown(reader, frame, words):
        pass
    return len(frame.payload)


def is_shown(reader: Reader, frame: Frame, words: str) -> bool:
    payload = reader.raw.deflate.inflate(frame.payload) if frame.rsv == RSV1 and reader.raw.deflate else frame.payload
    return words in payload.decode()


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("offer", "least", "most"),
    [("default", 0.01, 0.2), ("wide", 0.01, 0.2), ("fresh", 0.8, 1.1), ("none", 0.99, 1.01)],
)
def test_repeated_data_is_sent_as_a_reference(hall: Hall, offer: str, least: float, most: float, alone: bool) -> None:
    """By those who agreed to remember it. 500 letters by chance fit into their window, and cannot be squeezed."""
    hall.say("the first")  # the one that brings the date
    reader = hall.join(OFFERS[offer])
    if not alone:
        hall.join(DEFAULT_OFFER)
        hall.join(OFFERS["narrow"])
    words = noise(Random(8), 500)  # noqa: S311
    first = size_of_next(hall, reader, words)
    again = size_of_next(hall, reader, f"{words}!")
    assert least < again / first < most
