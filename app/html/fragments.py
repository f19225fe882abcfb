"""Every piece of HTML we send.

Nothing here depends on who looks at it, except by the time zone: a frame is rendered once and its bytes go to
everybody. What differs from person to person ("mine") is one CSS rule in the page's own style.
"""

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote
from zlib import crc32
from zoneinfo import ZoneInfo, available_timezones

from cachetools import LRUCache
from markupsafe import Markup, escape

from app.chat import links
from app.chat.messages import Cursor, Member, Refused, Room
from app.chat.names import name_key
from app.chat.timeline import Entry, Gap, Page
from app.html.templates import Templates
from app.settings import Settings

KEPT_CHARACTERS = 4_000_000  # of messages and pages: about 7,000 messages
MACROS = {"chat": "partials/chat.html", "draft": "partials/draft.html"}  # that stand in several templates
# Stands for a nonce that is not known yet. No user's text can look like this, because it is escaped.
HOLE = Markup("<nonce>")
KEY_HOLE, FRESH_HOLE = Markup("<key>"), Markup("<fresh>")  # and such for the keys of a draft: of this one, of the next
ARTICLE = ' role="article"'  # in the tag of a message
HUES = 12  # colours of avatars; `static/css/avatar.css` has as many


class Place(NamedTuple):
    """Where a draft stood in its frame, from 1, and the key it had."""

    number: int
    key: str


@dataclass(frozen=True, kw_only=True)
class RoomView:
    """The contents of a room's page, and its viewer."""

    room: Room
    rooms: Sequence[Room]
    members: Sequence[Member]  # present in the room
    member: Member | None  # the viewer; None without a name
    page: Page
    cursor: Cursor
    zone: str
    keys: Sequence[str]  # for the next drafts
    nonce: str
    is_newest: bool = True  # false for a page of history
    refusal: Refused | None = None  # of the form with the values `entered`
    entered: dict[str, str] = field(default_factory=dict)
    notice: str = ""  # another sentence for the viewer
    enter: str = ""  # what Enter does: "send", "line" (a line break), or "" for the device's default


class Fragments:
    """Renders fragments, and caches up to `kept_characters` of rendered messages."""

    def __init__(self, settings: Settings, assets: str, kept_characters: int = KEPT_CHARACTERS) -> None:
        filters: dict[str, Callable[..., Any]] = {
            "clock": clock,
            "day": day,
            "hue": hue,
            "initial": initial,
            "parts": links.split,
            "utc": utc,
            "data_url": data_url,
        }
        names = {"settings": settings, "assets": assets, "zone_options": zone_options()}
        self._templates = Templates(filters, names, MACROS)
        self._message: Callable[[Entry, str], Markup] = self._templates.macro("partials/message.html", "message")
        # A page of 50 messages takes 0.6 ms because its messages are rendered already: docs/performance.md, "A page".
        self._cache: LRUCache[Hashable, Markup] = LRUCache(kept_characters, getsizeof=len)
        # Receipts of one stored draft, by its number: rendering each took 14 % of the time of a stored message.
        self._receipts: dict[int, str] = {}

    # Pages

    def room(self, view: RoomView) -> str:
        """Return a room's whole page."""
        entered = {name: _sendable(text) for name, text in view.entered.items()}
        messages = self._page(view.page, view.zone)
        return self._render("room.html", **{**vars(view), "entered": entered, "messages": messages})

    def error(self, status: int, title: str, sentence: str, nonce: str) -> str:
        """Return an error page, with a way back."""
        return self._render("error.html", status=status, title=title, sentence=sentence, nonce=nonce)

    # Answers over HTTP

    def older(self, room: Room, page: Page, zone: str, nonce: str) -> str:
        """Return older messages, and the loader of those before them."""
        messages = self._page(page, zone)
        return self._render("partials/older_page.html", room=room, page=page, messages=messages, nonce=nonce)

    def filled(self, gap: Gap, remaining: Gap | None, entries: Sequence[Entry], zone: str) -> str:
        """Return the messages of `gap`, and the gap that remains."""
        messages = _unannounced(self._messages(entries, zone))
        return self._render("partials/filled_gap.html", gap=gap, remaining=remaining, messages=messages)

    # Frames to everybody in a room

    def appended(
        self, entries: Sequence[Entry], cursor: Cursor, zone: str, gap: Gap | None = None, is_announced: bool = True
    ) -> str:
        """Return a frame that adds `entries` at the end (after `gap`), with the cursor that belongs to them.

        Screen readers read them out, unless they are many (`is_announced` is false): `missed` says how many.
        """
        messages = self._messages(entries, zone)
        messages = messages if is_announced else _unannounced(messages)
        return self._render("partials/frames/appended.html", messages=messages, cursor=cursor, gap=gap)

    def trimmed(self, room: Room, first: int) -> str:
        """Return a frame that removes the messages before the position `first` from open pages."""
        return self._render("partials/frames/trimmed.html", room=room, first=first)

    def members(self, members: Sequence[Member]) -> str:
        """Return a frame with the list of members who are present."""
        return self._render("partials/frames/members.html", members=members)

    def room_added(self, room: Room) -> str:
        """Return a frame that adds a room to the list."""
        return self._render("partials/frames/room_added.html", room=room)

    def rooms(self, rooms: Sequence[Room], room: Room) -> str:
        """Return a frame with the list of rooms, for pages that show `room`."""
        return self._render("partials/frames/rooms.html", rooms=rooms, room=room)

    def heartbeat(self) -> str:
        """Return a frame that says the server is there."""
        return self._render("partials/frames/heartbeat.html")

    # Frames to one browser

    def resumed(self, rooms: Sequence[Room], room: Room, members: Sequence[Member]) -> str:
        """Return the frame that ends a resume: the page is complete; rooms and members."""
        return self._render("partials/frames/resumed.html", rooms=rooms, room=room, members=members)

    def missed(self, count: int) -> str:
        """Return a frame that tells a screen reader how many messages come that it does not read out."""
        return self._render("partials/frames/missed.html", count=count)

    def replaced(self, room: Room, page: Page, cursor: Cursor, zone: str) -> str:
        """Return a frame that replaces all messages with those of `page`."""
        messages = _unannounced(self._page(page, zone))
        return self._render("partials/frames/replaced.html", room=room, page=page, messages=messages, cursor=cursor)

    def receipt(
        self,
        released: Sequence[Place],
        refused: Sequence[Place],
        notice: str,
        fresh_keys: Sequence[str],
        join: Room | None = None,
    ) -> str:
        """Return a frame that deletes the drafts `released`, marks those `refused`, and says why (`notice`).

        Each key that is let go of is made up for by a fresh one. `join` is the room where a name can be chosen.
        """
        let_go = list(zip(released, fresh_keys, strict=True))
        if len(let_go) == 1 and not (refused or notice or join):
            [(place, fresh)] = let_go
            return self._usual_receipt(place.number).replace(FRESH_HOLE, fresh).replace(KEY_HOLE, escape(place.key))
        return self._receipt(let_go, refused, notice, join)

    def _usual_receipt(self, number: int) -> str:
        # Every message has one, to its sender alone: rendering it took as long as rendering the message for all.
        if number not in self._receipts:
            self._receipts[number] = self._receipt([(Place(number, KEY_HOLE), FRESH_HOLE)], [], "", None)
        return self._receipts[number]

    def _receipt(
        self, let_go: Sequence[tuple[Place, str]], refused: Sequence[Place], notice: str, join: Room | None
    ) -> str:
        drafts = {"released": let_go, "refused": refused}
        return self._render("partials/frames/receipt.html", **drafts, notice=notice, join=join, passes=False)

    def notice(self, sentence: str, passes: bool = False, join: Room | None = None) -> str:
        """Return a frame with a notice for this browser; one that `passes` goes when the page is complete.

        `join` is the room where a name can be chosen.
        """
        return self._render("partials/frames/notice.html", notice=sentence, join=join, passes=passes)

    # Shared parts

    def _page(self, page: Page, zone: str) -> Markup:
        """Return the messages of `page`, cached: it is the same object until somebody writes."""
        key = (page, zone)
        return self._cache.get(key) or self._keep(key, self._messages(page.entries, zone))

    def _messages(self, entries: Sequence[Entry], zone: str) -> Markup:
        return Markup("".join([self._entry(entry, zone) for entry in entries]))  # noqa: S704 - each is HTML

    def _entry(self, entry: Entry, zone: str) -> Markup:
        # A page reuses what was rendered for a frame: an equal entry looks the same everywhere.
        key = (entry, zone)
        return self._cache.get(key) or self._keep(key, self._message(entry, zone))

    def _keep(self, key: Hashable, html: Markup) -> Markup:
        with suppress(ValueError):  # larger than the whole cache
            self._cache[key] = html
        return html

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.render(template, **values)


def _unannounced(messages: Markup) -> Markup:
    """Return `messages` so that a screen reader does not read them out when they are put into the log."""
    # No text of anybody's can look so: quotes are escaped.
    return Markup(str(messages).replace(ARTICLE, f'{ARTICLE} aria-live="off"'))  # noqa: S704


def _sendable(text: str) -> str:
    """Return `text` without halves of surrogate pairs: a form can bring them, and no answer can hold them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def clock(moment: datetime, zone: str) -> str:
    """Return the time of day in `zone`: `14:05`."""
    return moment.astimezone(ZoneInfo(zone)).isoformat()[11:16]


def utc(moment: datetime) -> str:
    """Return `moment` in ISO 8601, in UTC, for machines: `2026-11-23T14:05:00Z`."""
    return moment.isoformat()[:19] + "Z"


def day(value: date) -> str:
    """Return a date as people read it: `Monday, 23 November 2026`."""
    return f"{value:%A}, {value.day} {value:%B %Y}"


def initial(name: str) -> str:
    """Return the letter that an avatar shows."""
    return name[:1].upper()


def hue(name: str) -> int:
    """Return the number of the colour that belongs to a name, however it is written."""
    return crc32(name_key(name).encode()) % HUES


@lru_cache(maxsize=1024)  # a few for each room; to quote them takes longer than all else in a page
def data_url(html: str) -> str:
    """Return an address whose content is `html`: it loads at once and without a network."""
    return "data:text/html;charset=utf-8," + quote(html.strip())


@lru_cache(maxsize=1)
def zone_options() -> Markup:
    """Return the options of a list of time zones: 400 lines that are the same on every page."""
    return Markup("").join(Markup("<option>{}</option>").format(zone) for zone in time_zones())


@lru_cache(maxsize=1)
def time_zones() -> tuple[str, ...]:
    """Return the time zones that people can choose: UTC, and one for each place."""
    places = (
        "Africa",
        "America",
        "Antarctica",
        "Asia",
        "Atlantic",
        "Australia",
        "Europe",
        "Indian",
        "Pacific",
    )
    return ("UTC", *sorted(zone for zone in available_timezones() if zone.split("/")[0] in places))
