"""The benchmark's load and limit, which are written in C: the load has to complain of whatever a server does wrong."""

import asyncio
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from tests.guarantees.crowd import CROWD, request, sign_in
from tests.profile import PROFILE
from tests.server import Server, serving

BENCH = Path(__file__).parent.parent / "bench"
DEADLINE = 5.0 if PROFILE == "prove" else 20.0  # seconds for a run that goes well, on a busy machine
TOO_SOON = 0.4  # seconds for a run that cannot go well
LATE = 0.1  # seconds that a server takes where it is to be slow
FRAGMENT = "<ol><li>{message}</li></ol>"
CLOSED = "(closed)"  # in place of a text


def missing() -> str:
    """Say what is not there to build with; nothing, if all is."""
    if not shutil.which("gcc") or not shutil.which("make"):
        return "needs gcc and make"
    probe = subprocess.run(["gcc", "-E", "-"], input=b"#include <zlib.h>\n#include <sys/epoll.h>", capture_output=True)
    return "needs zlib's headers, and Linux" if probe.returncode else ""


MISSING = missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs."""
    folder = tmp_path_factory.mktemp("build")
    made = subprocess.run(["make", "-C", BENCH, "-j2", f"BUILD={folder}"], capture_output=True, text=True)
    assert not made.returncode, made.stderr
    return folder


@dataclass(frozen=True)
class Run:
    """What the load found out, its exit status, and what it said beside it."""

    figures: dict[str, Any]
    status: int
    aside: str

    @property
    def error(self) -> str:
        """What it complained of."""
        assert self.status == 1, self
        return str(self.figures["error"])


class Load:
    """Runs the load."""

    process: asyncio.subprocess.Process

    def __init__(self, build: Path) -> None:
        self._program = build / "load"

    async def __call__(self, scenario: str, port: int, **options: object) -> Run:
        """Run a scenario; its options are written with `_` for `-`."""
        options = {"protocol": "plain", "readers": 12, "deadline": DEADLINE} | options
        words = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in options.items()
        ]
        self.process = await asyncio.create_subprocess_exec(
            self._program, scenario, f"--port={port}", *words, stdin=-1, stdout=-1, stderr=-1
        )
        said, aside = await self.process.communicate()
        return Run(json.loads(said), self.process.returncode or 0, aside.decode())


@pytest.fixture
def load(build: Path) -> Load:
    return Load(build)


def good(run: Run) -> dict[str, Any]:
    """Return the figures of a run that went well."""
    assert run.status == 0, run
    assert "error" not in run.figures
    return run.figures


# Servers that do something wrong


def honest(place: int, number: int, text: str) -> list[str]:
    """What the connection at `place` gets of the `number`th text, both from 0."""
    return [text]


Tamper = Callable[[int, int, str], list[str]]


@dataclass
class Chat:
    """Sends each text to everybody, as far as `tamper` lets it."""

    tamper: Tamper = honest
    links: list[ServerConnection] = field(default_factory=list)
    heard: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, link: ServerConnection) -> None:
        """Serve one connection."""
        self.links.append(link)
        try:
            async for text in link:
                async with self.turn:
                    await self.hear(link, str(text))
        except ConnectionClosed:
            pass
        finally:
            self.links.remove(link)

    async def hear(self, link: ServerConnection, text: str) -> None:
        """Pass a text on."""
        number, self.heard = self.heard, self.heard + 1
        for place, other in enumerate(self.links):
            for frame in self.tamper(place, number, text):
                if frame == CLOSED:
                    await other.close(1013)
                else:
                    await self.send(other, frame)

    async def send(self, link: ServerConnection, text: str) -> None:
        """Send a text as one frame."""
        await link.send(text)


@asynccontextmanager
async def listening(chat: Callable[[ServerConnection], Awaitable[None]], **options: Any) -> AsyncIterator[int]:
    """Serve `chat`, and yield the port."""
    options = {"port": 0, "compression": None, "ping_interval": None, "close_timeout": 0.1} | options
    async with serve(chat, "127.0.0.1", **options) as server:
        yield server.sockets[0].getsockname()[1]


def lost(place: int, number: int, text: str) -> list[str]:
    """One message does not come to one reader."""
    return [] if (place, number) == (3, 5) else [text]


def lost_by_all(place: int, number: int, text: str) -> list[str]:
    """One message comes to nobody."""
    return [] if number == 5 else [text]


def doubled(place: int, number: int, text: str) -> list[str]:
    """One message comes twice to one reader."""
    return [text, text] if (place, number) == (3, 5) else [text]


def closed(place: int, number: int, text: str) -> list[str]:
    """One reader is sent away."""
    return [CLOSED] if (place, number) == (3, 5) else [text]


def invented(place: int, number: int, text: str) -> list[str]:
    """One reader gets what nobody said."""
    return [text, "#000000777 1 hello"] if (place, number) == (3, 5) else [text]


def swapped() -> Tamper:
    """Two messages come to one reader in the other order."""
    held: list[str] = []

    def tamper(place: int, number: int, text: str) -> list[str]:
        if (place, number) == (3, 5):
            held.append(text)
            return []
        return [text, *held] if (place, number) == (3, 6) else [text]

    return tamper


OUT_OF_ORDER = "another one was lost, or they are out of order"


@pytest.mark.breaks("bench/load/ledger.c", "return ledger->order[place] == message;", "return true;")
@pytest.mark.breaks("bench/load/ledger.c", "return false;\n    ledger->marks[message] |= SEEN;", "message = place;")
@pytest.mark.parametrize("senders", [1, 2])
@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (lambda: lost, OUT_OF_ORDER),
        (swapped, OUT_OF_ORDER),
        (lambda: doubled, "twice"),
        (lambda: invented, "got message 777, which was not sent"),
        (lambda: closed, "with code 1013"),
    ],
    ids=["lost", "swapped", "doubled", "invented", "closed"],
)
async def test_the_load_reports_unexpected_frames(
    load: Load, wrong: Callable[[], Tamper], complaint: str, senders: int
) -> None:
    async with listening(Chat(wrong())) as port:
        run = await load("sustained", port, senders=senders, rate=400, seconds=0.1, first=100)
    assert complaint in run.error


@pytest.mark.breaks("bench/load/crowd.c", "return crowd->deliveries == crowd_owed(crowd);", "return true;")
@pytest.mark.parametrize("tamper", [lost, lost_by_all])
async def test_the_load_reports_missing_frames(load: Load, tamper: Tamper) -> None:
    async with listening(Chat(tamper)) as port:
        run = await load("broadcast", port, readers=11, messages=6, deadline=TOO_SOON)
    missing = 1 if tamper is lost else 12
    assert f"{72 - missing} of 72 deliveries" in run.error
    assert len(run.figures["samples"]) == 5  # what went well is reported


@pytest.mark.breaks("bench/load/crowd.c", "if (crowd->late || ", "if (")
async def test_the_load_reports_a_missed_deadline(load: Load) -> None:
    async with listening(Chat()) as port:
        run = await load("sustained", port, rate=1, seconds=60, deadline=TOO_SOON)
    assert "it took longer than 0.4 s" in run.error


@pytest.mark.breaks("bench/load/crowd.c", "crowd_rest(crowd, now() + QUIET);", "")
async def test_the_last_message_may_not_come_twice(load: Load) -> None:
    class Echo(Chat):
        """Sends the last message once more when all is over."""

        async def hear(self, link: ServerConnection, text: str) -> None:
            await super().hear(link, text)
            if self.heard == 5:
                asyncio.get_running_loop().call_later(0.01, broadcast, self.links[3:4], text)

    async with listening(Echo()) as port:
        run = await load("sustained", port, rate=1000, seconds=0.005)
    assert "got message 5 twice" in run.error


async def test_the_load_accepts_a_correct_server(load: Load) -> None:
    async with listening(Chat()) as port:
        one = good(await load("broadcast", port, readers=11, messages=10))
        awake = good(await load("broadcast", port, readers=11, messages=10, spin=True))
        several = good(await load("sustained", port, senders=3, rate=200, seconds=0.2))
        each = good(await load("stored", port, senders=3, readers=0, seconds=0.1))
    for each_to_all in (one, awake):
        figures = [each_to_all[name] for name in ("up", "sent", "received", "receipts")]
        assert figures == [12, 10, 120, 10]
    assert (several["sent"], several["received"], several["receipts"]) == (40, 600, 40)
    assert each["received"] == each["sent"] * 3
    assert each["sent"] == each["receipts"] >= 3


@pytest.mark.breaks("bench/load/turns.c", "(&crowd, shared, options->alone)", "(&crowd, 0, shared)")
@pytest.mark.breaks("bench/load/crowd.c", "(alone ? 0 : options->readers)", "options->readers")
async def test_rooms_with_and_without_readers_take_turns(load: Load, tmp_path: Path) -> None:
    class Rooms(Chat):
        """Passes on what is said to those at the same address, and works for it at one of them."""

        def __init__(self) -> None:
            super().__init__()
            self.speaking: list[str] = []  # the address of whoever speaks, for as long as it is the same

        async def hear(self, link: ServerConnection, text: str) -> None:
            assert link.request
            room = link.request.path
            if self.speaking[-1:] != [room]:
                self.speaking.append(room)
            since = process_time()
            while room == "/shared" and process_time() < since + 0.002:
                pass
            broadcast([other for other in self.links if other.request and other.request.path == room], text)

    paths = tmp_path / "paths"
    paths.write_text("/shared\n/alone\n")
    async with listening(rooms := Rooms()) as port:
        options = {"rooms": 2, "paths": paths, "readers": 3, "alone": 1, "pid": os.getpid()}
        figures = good(await load("turns", port, **options, seconds=2))
    assert rooms.speaking == ["/shared", "/alone"] * 2
    assert figures["up"] == 4 + 1
    assert figures["receipts"] == figures["sent"] < figures["received"] < 4 * figures["sent"]
    assert min(figures["shared"]) > 2_000 > max(figures["alone"]) > 0


@pytest.mark.parametrize("alone", [0, 2, 3])
async def test_turns_need_both_kinds_of_rooms(build: Path, alone: int) -> None:
    words = ["turns", "--port=1", "--rooms=2", "--paths=/dev/null", f"--alone={alone}"]
    refused = await asyncio.create_subprocess_exec(build / "load", *words, stderr=-1)
    _, why = await refused.communicate()
    assert (refused.returncode, b"--alone" in why.splitlines()[0]) == (2, True)


@pytest.mark.breaks("bench/load/crowd.c", "    crowd->spun += cpu_of_this() - before;\n", "")
@pytest.mark.parametrize("spin", [{}, {"spin": True}])
async def test_a_message_goes_out_when_all_have_the_one_before(load: Load, spin: dict[str, bool]) -> None:
    class Late(Chat):
        """The last reader gets each message later than all others, and nobody says anything before."""

        waiting = False

        async def hear(self, link: ServerConnection, text: str) -> None:
            assert not self.waiting
            self.waiting = True
            broadcast(self.links[:-1], text)
            asyncio.get_running_loop().call_later(LATE, self.end, text)

        def end(self, text: str) -> None:
            self.waiting = False
            broadcast(self.links[-1:], text)

    async with listening(Late()) as port:
        figures = good(await load("broadcast", port, messages=5, **spin))
    samples = figures["samples"]
    assert min(samples) >= LATE * 1e6
    assert figures["median"] == pytest.approx(median(samples), abs=0.2)
    assert figures["worst"] == pytest.approx(max(samples), abs=0.2)
    assert figures["worst"] == pytest.approx(figures["delivery_worst"], abs=0.2)
    assert figures["delivery_median"] < LATE * 1e6 <= figures["delivery_p99"] <= figures["delivery_worst"]
    assert 0 < figures["client_share"] < 0.5  # it waited, nearly all the time


@pytest.mark.breaks(
    "bench/load/pace.c",
    "say(crowd, sender_of(crowd, pace.sent), due_at(pace.sent))",
    "say(crowd, sender_of(crowd, pace.sent), 0)",
)
async def test_latency_counts_from_the_scheduled_time(load: Load) -> None:
    class Stopping(Chat):
        """Holds the load at its first message, until the last one is due."""

        async def hear(self, link: ServerConnection, text: str) -> None:
            await super().hear(link, text)
            if self.heard == 1:
                load.process.send_signal(signal.SIGSTOP)
                asyncio.get_running_loop().call_later(LATE, load.process.send_signal, signal.SIGCONT)

    async with listening(Stopping()) as port:
        figures = good(await load("sustained", port, rate=100, seconds=LATE))
    assert figures["median"] > LATE / 4 * 1e6
    assert figures["receipt_median"] > LATE / 4 * 1e6
    assert sum(count for _, count in figures["histogram"]) == figures["received"] == figures["sent"] * 13


@pytest.mark.breaks("bench/load/sustained.c", "if (is_hopeless(crowd))", "if (false)")
async def test_a_rate_that_cannot_hold_is_given_up(load: Load) -> None:
    class Late(Chat):
        """Sends everything later than it may."""

        async def hear(self, link: ServerConnection, text: str) -> None:
            asyncio.get_running_loop().call_later(LATE, broadcast, self.links, text)

    async with listening(Late()) as port:
        run = await load("sustained", port, rate=100, seconds=60, within=LATE * 500, deadline=90)
        figures = good(await load("sustained", port, rate=100, seconds=0.2, within=LATE * 20_000, first=10_000))
    assert "more than one delivery in a hundred took longer than 50 ms" in run.error
    assert run.figures["seconds"] < DEADLINE
    assert run.figures["client_share"] == pytest.approx(run.figures["client_cpu"] / run.figures["seconds"], rel=0.01)
    assert figures["received"] == 20 * 13


# What bytes may look like


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_messages_may_come_in_parts(load: Load, compression: str | None) -> None:
    class Parts(Chat):
        """Sends each text in three frames, the second of them empty."""

        async def send(self, link: ServerConnection, text: str) -> None:
            await link.send([text[:7], "", text[7:]])

    async with listening(Parts(), compression=compression) as port:
        good(await load("sustained", port, rate=200, seconds=0.1, deflate=True))


async def test_frames_may_be_larger_than_the_socket_buffer(load: Load) -> None:
    def long(place: int, number: int, text: str) -> list[str]:
        return [text + "x" * 100_000]

    async with listening(Chat(long)) as port:
        figures = good(await load("sustained", port, readers=3, senders=2, rate=1000, seconds=0.1, size=20_000))
    assert figures["payload_bytes_per_delivery"] == 120_000
    assert figures["wire_bytes_per_delivery"] == 120_010


async def test_one_frame_may_bring_many_messages(load: Load) -> None:
    class Batches(Chat):
        """Sends three texts at once."""

        held = ""

        async def hear(self, link: ServerConnection, text: str) -> None:
            self.heard += 1
            self.held += text
            if self.heard % 3 == 0:
                broadcast(self.links, self.held)
                self.held = ""

    async with listening(Batches()) as port:
        figures = good(await load("sustained", port, rate=300, seconds=0.1, size=500))
    assert (figures["received"], figures["frames"]) == (30 * 13, 10 * 13)
    assert figures["payload_bytes_per_delivery"] == 500


@pytest.mark.breaks("bench/load/inflater.c", "if (forgets && inflateReset", "if (inflateReset")
@pytest.mark.parametrize(
    "terms",
    [
        {"server_max_window_bits": 15},
        {"server_max_window_bits": 9},
        {"server_max_window_bits": 12, "client_no_context_takeover": True},
        {"server_no_context_takeover": True},
    ],
    ids=str,
)
async def test_the_load_inflates_with_the_agreed_window(load: Load, terms: dict[str, Any]) -> None:
    async with listening(Chat(), extensions=[ServerPerMessageDeflateFactory(**terms)]) as port:
        figures = good(await load("sustained", port, rate=300, seconds=0.2, deflate=True))
    assert figures["deflated"] == figures["up"] == 13
    assert figures["payload_bytes_per_delivery"] == 600
    assert 100 < figures["wire_bytes_per_delivery"] < 400


@pytest.mark.parametrize("forgets", [False, True])
async def test_readers_need_not_have_had_the_same(load: Load, forgets: bool) -> None:
    """What comes compressed is inflated once for all who have had the same, and these part and go."""

    def whispers(place: int, number: int, text: str) -> list[str]:
        aside = f"for {place % 3} alone, {text[15:]}"  # what comes next repeats it, so it is a reference into it
        return [aside, text] if place % 3 and (place + number) % 4 == 0 else [text]

    terms = ServerPerMessageDeflateFactory(server_no_context_takeover=forgets)
    async with listening(Chat(whispers), extensions=[terms]) as port:
        good(await load("sustained", port, senders=2, rate=400, seconds=0.2, deflate=True))
        figures = good(await load("slow", port, stalled=4, rate=200, seconds=0.2, deflate=True))
    assert figures["received"] == 40 * 9
    assert figures["payload_bytes_per_delivery"] == 600


@pytest.mark.breaks(
    "bench/load/inflater.c", "then->message.length != length || memcmp(then->message.at, message, length)", "false"
)
async def test_inflated_data_is_not_shared_between_streams(load: Load) -> None:
    def other(place: int, number: int, text: str) -> list[str]:
        return [text.replace("6 ", "7 ", 1)] if (place, number) == (3, 5) else [text]

    async with listening(Chat(other), compression="deflate") as port:
        run = await load("sustained", port, rate=400, seconds=0.1, deflate=True)
    assert OUT_OF_ORDER in run.error or "which was not sent" in run.error


async def test_compression_is_only_where_it_was_offered_and_taken(load: Load) -> None:
    async with listening(Chat()) as port:
        refused = good(await load("broadcast", port, messages=2, deflate=True))
    async with listening(Chat(), compression="deflate") as port:
        unasked = good(await load("broadcast", port, messages=2))
    for figures in (refused, unasked):
        assert figures["deflated"] == 0
        assert figures["wire_bytes_per_delivery"] == 604


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"\xc1\x03abc", "a compressed message that is broken"),
        (b"\x80\x03abc", "a frame that cannot be here"),
        (b"\x82\x03abc", "a frame that cannot be here"),
        (b"\x83\x03abc", "what is no frame"),
        (b"\x81\x83mask\0\0\0", "a frame with a mask"),
    ],
)
async def test_the_load_reports_invalid_frames(load: Load, raw: bytes, complaint: str) -> None:
    class Raw(Chat):
        """Answers with bytes that are not what they should be."""

        async def send(self, link: ServerConnection, text: str) -> None:
            link.transport.write(raw)

    async with listening(Raw(), compression="deflate") as port:
        run = await load("broadcast", port, deflate=True)
    assert complaint in run.error


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (
            "101 Switching Protocols\r\nSec-WebSocket-Accept: bm90IHRoaXMgb25lLCBJIGFtIHN1cmU=",
            "a wrong Sec-WebSocket-Accept",
        ),
        ("403 Forbidden", "refused the handshake: HTTP/1.1 403 Forbidden"),
    ],
)
async def test_the_load_reports_a_failed_handshake(load: Load, answer: str, complaint: str) -> None:
    async def shake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {answer}\r\n\r\n".encode())
        await reader.read()
        writer.close()

    server = await asyncio.start_server(shake, "127.0.0.1", 0)
    async with server:
        run = await load("broadcast", server.sockets[0].getsockname()[1])
    assert complaint in run.error


@pytest.mark.parametrize(
    ("cookies", "dealt"), [(2, ["c0", "c1", "", ""]), (3, ["c0", "c1", "", ""]), (4, ["c0", "c1", "c2", "c3"])]
)
async def test_a_connection_knows_its_member_and_address(
    load: Load, tmp_path: Path, cookies: int, dealt: list[str]
) -> None:
    came: list[tuple[str, str, str]] = []

    class Door(Chat):
        """Notes who comes."""

        async def __call__(self, link: ServerConnection) -> None:
            assert link.request
            headers = link.request.headers
            came.append((headers.get("Cookie", ""), headers.get("Origin", ""), link.remote_address[0]))
            await super().__call__(link)

    (tmp_path / "cookies").write_text("".join(f"c{number}\n" for number in range(cookies)))
    options = {"cookies": tmp_path / "cookies", "origin": "http://here", "addresses": 3, "window": 1}
    async with listening(Door()) as port:
        good(await load("sustained", port, **options, senders=2, readers=2, rate=100, seconds=0.02))
    assert came == [(cookie, "http://here", f"127.0.0.{1 + place % 3}") for place, cookie in enumerate(dealt)]


async def test_the_sockets_go_to_each_port_in_turn(load: Load) -> None:
    chat, came = Chat(), Counter[int]()

    async def door(link: ServerConnection) -> None:
        came[link.local_address[1]] += 1
        await chat(link)

    async with (
        listening(door, port=(port := free_ports(3))),
        listening(door, port=port + 1),
        listening(door, port=port + 2),
    ):
        figures = good(await load("sustained", port, ports=3, senders=3, readers=6, rate=100, seconds=0.1))
    assert figures["received"] == 10 * 9
    assert came == {port: 3, port + 1: 3, port + 2: 3}


def free_ports(count: int) -> int:
    """Return the first of so many free ports that follow each other."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                for number in range(1, count):
                    socket.create_server(("127.0.0.1", port + number)).close()
            except OSError:
                continue
            return port


@pytest.mark.breaks("bench/load/report.c", "times.parent == process", "times.parent == -1")
async def test_the_cpu_time_of_a_database_is_that_of_its_children_too(load: Load) -> None:
    family = await asyncio.create_subprocess_shell("yes > /dev/null & wait", start_new_session=True)
    try:
        async with listening(Chat()) as port:
            figures = good(await load("sustained", port, pid=family.pid, database=family.pid, rate=100, seconds=0.3))
    finally:
        os.killpg(family.pid, signal.SIGKILL)
        await family.wait()
    assert figures["server_cpu"] == 0
    assert figures["database_cpu"] > 0


async def test_it_answers_pings(load: Load) -> None:
    async with listening(Chat(), ping_interval=0.05, ping_timeout=5) as port:
        good(await load("sustained", port, rate=100, seconds=0.2))


# What servers say


@dataclass
class Parlor(Chat):
    """As much of a Parlor as the load knows: it sends each message to all, and then as many `receipts` to one."""

    receipts: int = 1
    notice: str = ""
    older: str = ""

    async def hear(self, link: ServerConnection, text: str) -> None:
        """Take a frame."""
        frame = json.loads(text)
        if "cursor" in frame:
            await link.send(f'{self.older}<p id="connection" data-state="connected">Connected</p>')
            return
        await super().hear(link, frame["message"])
        receipt = f"<i hx-swap-oob=\"delete target:'#keys > [value=&quot;{frame['key']}&quot;]'\"></i>"
        for _ in range(self.receipts):
            await link.send(f'{receipt}<div hx-swap-oob="innerHTML:#notice">{self.notice}</div>')


async def test_a_parlor_is_up_when_it_is_connected_and_answers_with_receipts(load: Load) -> None:
    async with listening(Parlor(older="#000000099 0 of another run")) as port:
        figures = good(await load("stored", port, protocol="parlor", senders=4, seconds=0.1, first=100))
    assert figures["receipts"] == figures["sent"] >= 4
    assert figures["rate"] >= figures["receipts"] / figures["seconds"] > 0


@pytest.mark.breaks("bench/load/ledger.c", " || ledger->marks[message] & RECEIPT", "")
@pytest.mark.breaks("bench/load/protocol.c", "    if (over != notice)", "    if (false)")
@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        (lambda: Parlor(receipts=0), "12 of 12 deliveries and 0 of 1 receipts"),
        (lambda: Parlor(receipts=2), "a second receipt"),
        (lambda: Parlor(notice="Too fast"), "was told: Too fast"),
        (lambda: Parlor(notice='<span class="notice__passing">Wait</span>'), "was told: Wait"),
        (lambda: Parlor(older="#000000100 0 of this run"), "got message 100, which was not sent"),
    ],
)
async def test_the_load_reports_notices_of_parlor(load: Load, server: Callable[[], Parlor], complaint: str) -> None:
    async with listening(server()) as port:
        run = await load("broadcast", port, protocol="parlor", readers=11, first=100, deadline=TOO_SOON)
    assert complaint in run.error


async def test_it_speaks_socket_io(load: Load) -> None:
    class SocketIo(Chat):
        """Engine.IO's packets, and Socket.IO's in them."""

        paths: set[str]

        async def __call__(self, link: ServerConnection) -> None:
            assert link.request
            self.paths = {link.request.path}
            await link.send('0{"sid":"1","upgrades":[],"pingInterval":25000,"pingTimeout":20000}')
            await super().__call__(link)

        async def hear(self, link: ServerConnection, text: str) -> None:
            if text == "40":
                await link.send("2")
            elif text == "3":
                await link.send('40{"sid":"2"}')
            else:
                event, said = json.loads(text.removeprefix("42"))
                broadcast(self.links, "42" + json.dumps([event, FRAGMENT.replace("{message}", said)]))

    async with listening(server := SocketIo()) as port:
        figures = good(await load("broadcast", port, protocol="socketio", messages=3))
    assert figures["received"] == figures["receipts"] * 13 == 39
    assert server.paths == {"/socket.io/?EIO=4&transport=websocket"}


@pytest.fixture(scope="module")
def parlor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real one."""
    with serving(tmp_path_factory.mktemp("data"), **CROWD) as server:
        yield server


async def test_it_measures_the_real_one(load: Load, parlor: Server, tmp_path: Path) -> None:
    cookies, paths = tmp_path / "cookies", tmp_path / "paths"
    signed = [await sign_in(parlor.host, f"Sender {number}") for number in range(4)]
    cookies.write_text("".join(f"parlor_member={cookie}\n" for cookie in signed))
    await request(parlor.host, "POST", "/rooms", {"name": "Second"}, cookie=signed[0])
    paths.write_text("/ws\n/ws/second\n")
    common = {"protocol": "parlor", "cookies": cookies, "pid": parlor.pid, "deflate": True}

    all_have_it = good(await load("broadcast", parlor.port, **common, messages=5))
    assert all_have_it["received"] == all_have_it["receipts"] * 13 == 65
    assert all_have_it["deflated"] == 13
    stored = good(await load("stored", parlor.port, **common, senders=4, readers=0, seconds=0.1, first=100))
    assert stored["sent"] == stored["receipts"]
    rooms = good(
        await load(
            "rooms", parlor.port, **common, rooms=2, paths=paths, readers_per_room=3, rate=50, seconds=0.2, first=90_000
        )
    )
    assert (rooms["sent"], rooms["received"]) == (10, 40)
    each = good(
        await load("stored", parlor.port, **common, rooms=2, paths=paths, readers_per_room=3, seconds=0.1, first=95_000)
    )
    assert each["received"] == each["receipts"] * 4 == each["sent"] * 4 >= 8
    refused = await load("broadcast", parlor.port, protocol="parlor", first=100_000)
    assert "was told" in refused.error


# Those who stay, and those who do not read


async def test_the_idle_stay_until_stdin_is_closed(build: Path) -> None:
    gone = asyncio.Event()

    async def stay(link: ServerConnection) -> None:
        await link.wait_closed()
        gone.set()

    async with listening(stay) as port:
        words = [f"--port={port}", "--protocol=plain", "--readers=12"]
        idle = await asyncio.create_subprocess_exec(build / "load", "idle", *words, stdin=-1, stdout=-1)
        assert idle.stdin and idle.stdout
        figures = json.loads(await idle.stdout.readline())
        assert figures["up"] == 12
        assert not gone.is_set()
        idle.stdin.close()
        assert await idle.wait() == 0
        await gone.wait()


async def test_readers_are_measured_beside_stalled_ones(load: Load) -> None:
    class Cutting(Chat):
        """Resets those who do not read, the last ones who came, at the fifth message."""

        async def hear(self, link: ServerConnection, text: str) -> None:
            self.heard += 1
            broadcast(self.links, text)
            for stalled in self.links[-2:] if self.heard == 5 else []:
                linger = struct.pack("ii", 1, 0)
                stalled.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                stalled.transport.abort()

    async with listening(Cutting()) as port:
        figures = good(await load("slow", port, stalled=2, window=1, rate=50, seconds=0.2))
    assert (figures["closed"], figures["received"]) == (2, 10 * 11)
    assert figures["closed_after"] > 0.08
    assert figures["longest_silence"] >= 0


async def test_a_server_that_falls_silent_is_measured_and_complained_of(load: Load) -> None:
    def silent(place: int, number: int, text: str) -> list[str]:
        return [] if number >= 5 else [text]

    async with listening(Chat(silent)) as port:
        run = await load("slow", port, readers=11, stalled=1, rate=50, seconds=0.2, deadline=TOO_SOON)
    assert "55 of 110 deliveries" in run.error
    assert run.figures["longest_silence"] > 0.1e6


# The limit


@pytest.fixture
async def limit(build: Path, tmp_path: Path) -> AsyncIterator[int]:
    """Start the limit, and yield its port."""
    fragment = tmp_path / "fragment.html"
    fragment.write_text(FRAGMENT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = await asyncio.create_subprocess_exec(build / "limit", str(port), fragment, stdout=-1)
    assert process.stdout
    assert await process.stdout.readline() == b"ready\n"
    yield port
    process.kill()
    await process.wait()


async def test_the_limit_sends_each_text_to_everybody_in_the_fragment(limit: int) -> None:
    async with connect(f"ws://127.0.0.1:{limit}/any/path") as ann, connect(f"ws://127.0.0.1:{limit}") as bob:
        assert bob.response and "Sec-WebSocket-Extensions" not in bob.response.headers
        await (await ann.ping("hello"))
        for text in ("hi", "x" * 200, "y" * 70_000):
            await ann.send(text)
            for one in (ann, bob):
                assert await one.recv() == f"<ol><li>{text}</li></ol>"
        await bob.close()
        assert bob.close_code == 1000
        await ann.send("still here")
        assert await ann.recv() == "<ol><li>still here</li></ol>"


@pytest.mark.breaks("bench/limit.c", "bytes_append(&client->unsent, bytes + sent, length - sent);", ";")
async def test_the_limit_server_buffers_unsent_bytes(limit: int, load: Load) -> None:
    async with connect(f"ws://127.0.0.1:{limit}", max_queue=1, max_size=None) as late:
        figures = good(await load("sustained", limit, senders=2, readers=2, rate=4000, seconds=0.1, size=20_000))
        assert figures["received"] == 1600
        texts = [await late.recv() for _ in range(400)]
    assert len(set(texts)) == 400
    assert {len(text) for text in texts} == {20_000 + len(FRAGMENT) - len("{message}")}
