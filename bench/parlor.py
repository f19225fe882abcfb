"""Parlor as it is measured: what it has to allow, who speaks, and the fragment that the others send, too.

The only part of the benchmark that knows the application from the inside, and only to render that fragment.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from app.chat.messages import Cursor, Member, Message, Room
from app.chat.timeline import arrange
from app.html.fragments import Fragments
from app.settings import Settings

FRAME_BYTES = 1000  # of a message on its way to a browser
PLACE = "{message}"
LOBBY = Room(1, "lobby", "Lobby")
ENOUGH = "1000000000"

# A load client is one address and speaks without a pause, which is what these limits are there to refuse. Everything
# else is as it comes: the store is durable, the outbox bounded, the heartbeat beats, what happens is logged.
ALLOWED = {
    # The senders are a few members, each with what a crowd would say.
    "PARLOR_MESSAGES_PER_SECOND": ENOUGH,
    "PARLOR_MESSAGES_BURST": ENOUGH,
    "PARLOR_FRAMES_PER_SECOND": ENOUGH,
    "PARLOR_FRAMES_BURST": ENOUGH,
    "PARLOR_BYTES_PER_SECOND": ENOUGH,
    "PARLOR_BYTES_BURST": ENOUGH,
    # Everybody comes from one address.
    "PARLOR_ADDRESS_MESSAGES_PER_SECOND": ENOUGH,
    "PARLOR_ADDRESS_MESSAGES_BURST": ENOUGH,
    "PARLOR_CONNECTIONS_PER_ADDRESS": ENOUGH,
    "PARLOR_PENDING_REQUESTS_PER_ADDRESS": ENOUGH,
    "PARLOR_RESUMES_PER_SECOND": ENOUGH,
    "PARLOR_RESUMES_BURST": ENOUGH,
    "PARLOR_READS_PER_SECOND": ENOUGH,
    "PARLOR_READS_BURST": ENOUGH,
    # Names and rooms are taken and made in one go.
    "PARLOR_CREATIONS_PER_MINUTE": ENOUGH,
    "PARLOR_CREATIONS_BURST": ENOUGH,
    "PARLOR_ROOMS_BURST": ENOUGH,
    "PARLOR_MAX_ROOMS": ENOUGH,
}


def fragment() -> str:
    """Return a new message's frame, as Parlor sends it, with `{message}` where the text belongs."""
    now = datetime.now(UTC)
    author = Member("a000000000000001", "Sender 1", "UTC")
    first, second = (
        Message(position, author.id, author.name, PLACE, now + timedelta(seconds=position)) for position in (1000, 1001)
    )
    # Continues the one before, as all of one sender's do but the first.
    entries = arrange([second], first, ZoneInfo("UTC"), timedelta(minutes=5))
    return Fragments(Settings(), "/static").changes(LOBBY, entries, Cursor("4f1c09aa", second.position), "UTC")


def text_length(frame: str) -> int:
    """Return how many characters a text needs for its `frame` to be of `FRAME_BYTES`."""
    return FRAME_BYTES - len(frame) + len(PLACE)


def sign_in(port: int, count: int) -> list[str]:
    """Return the cookies of `count` new members of the server at `port`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    return [_post(connection, "/name", name=f"Sender {number}") for number in range(1, count + 1)]


def make_rooms(port: int, cookie: str, names: Iterable[str]) -> list[str]:
    """Make rooms called `names`, and return the addresses of their sockets."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    places = [_post(connection, "/rooms", cookie, name=name) for name in names]
    return [place.replace("/rooms/", "/ws/", 1) for place in places]


def _post(connection: HTTPConnection, path: str, cookie: str = "", **form: str) -> str:
    """Send a form; return the cookie that the answer sets, or where it leads."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", **({"Cookie": cookie} if cookie else {})}
    connection.request("POST", path, urlencode(form), headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 303:
        raise RuntimeError(f"{path} answered {answer.status}")
    given = answer.getheader("Set-Cookie", "").partition(";")[0]
    return given or answer.getheader("Location", "")
