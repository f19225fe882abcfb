"""The little that the tests of the protocol need to know of Parlor: what it answers, and how to say something.

A text that is no frame of ours is answered with a notice: by that one sees that a message came whole, and that the
connection goes on. What is said in a room comes back as a message: by that one sees what came.
"""

import json
import re
from dataclasses import dataclass, field
from html import unescape

import httpx2

from tests.guarantees.crowd import MESSAGE
from tests.protocol.raw import Raw, text
from tests.server import Server

LIMIT = 1_600_000  # bytes of a message
READ = "could not read this"  # what a notice says to somebody who sends nonsense
TOO_LONG = "too large"  # and of a message that is not too large for the socket, but is for a frame of ours
NOTICE = 'hx-swap-oob="innerHTML:#notice"'
SILENT = NOTICE + "></div>"  # in a receipt
LIVE = 'data-state="connected"'  # ends what answers a cursor


def saying(words: str, key: str = "k", **fields: str) -> bytes:
    """Return the payload that says `words`."""
    return json.dumps({"message": words, "key": key, **fields}, ensure_ascii=False).encode()


def notice(raw: Raw) -> str:
    """Return the next notice that says something; a receipt has an empty one."""
    while NOTICE not in (message := raw.message()) or SILENT in message:
        pass
    return message


def heard(raw: Raw) -> str:
    """Return the words of the next message of the room."""
    while not (found := MESSAGE.findall(raw.message())):
        pass
    ((_, words),) = found
    return unescape(words)


def is_alive(raw: Raw) -> bool:
    """Return whether the connection answers. What is still unread goes."""
    raw.send(text("nonsense"))
    return READ in notice(raw)


def resume(raw: Raw, cursor: str = "") -> str:
    """Ask for what came after `cursor`, and return all that answers it."""
    raw.send(text(json.dumps({"cursor": cursor})))
    answer = raw.message()
    while LIVE not in answer:
        answer += raw.message()
    return answer


@dataclass
class House:
    """A server with rooms without end."""

    server: Server
    cookies: dict[str, str] = field(default_factory=dict)  # of members, by name
    rooms: int = 0

    def cookie(self, name: str, zone: str = "UTC") -> str:
        """Return the cookie of the member called `name`, who lives in `zone`."""
        if name not in self.cookies:
            answer = httpx2.post(f"{self.server.url}/name", data={"name": name, "time_zone": zone})
            self.cookies[name] = answer.headers["set-cookie"].split(";")[0]
        return self.cookies[name]

    def room(self) -> str:
        """Make a room, and return its slug."""
        self.rooms += 1
        headers = {"Cookie": self.cookie("Ann")}
        answer = httpx2.post(f"{self.server.url}/rooms", data={"name": f"Room {self.rooms}"}, headers=headers)
        return answer.headers["location"].removeprefix("/rooms/")

    def figure(self, name: str) -> float:
        """Return one of the figures that the server tells."""
        found = re.search(rf"^{re.escape(name)} (.*)$", httpx2.get(f"{self.server.url}/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0
