"""What templates do with values: times, dates, colours, addresses. Plain functions."""

from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from zlib import crc32
from zoneinfo import ZoneInfo, available_timezones

from markupsafe import Markup

from app.chat import quotes
from app.chat.markup import is_emoji_alone
from app.chat.names import name_key
from app.html.bodies import body_html

LINES_SHOWN = 20  # of a long text; static/css/messages.css shows as many
HUES = 12  # colours of avatars; `static/css/avatar.css` has as many


def clock(moment: datetime, zone: str) -> str:
    """Return the time of day in `zone`: `14:05`."""
    return moment.astimezone(ZoneInfo(zone)).isoformat()[11:16]


def utc(moment: datetime) -> str:
    """Return `moment` in ISO 8601, in UTC, for machines: `2026-11-23T14:05:00Z`."""
    return moment.isoformat()[:19] + "Z"


def moment(value: datetime, zone: str) -> str:
    """Return a time with its day in `zone`: `23 November 2026, 14:05`."""
    there = value.astimezone(ZoneInfo(zone))
    return f"{there.day} {there:%B %Y, %H:%M}"


def day(value: date) -> str:
    """Return a date as people read it: `Monday, 23 November 2026`."""
    return f"{value:%A}, {value.day} {value:%B %Y}"


def is_long(body: str) -> bool:
    """Whether a text is folded until somebody wants to see all of it."""
    return body.count("\n") >= LINES_SHOWN


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


FILTERS: dict[str, Callable[..., Any]] = {
    "quote": quotes.quote,
    "body": body_html,
    "clock": clock,
    "data_url": data_url,
    "day": day,
    "hue": hue,
    "initial": initial,
    "is_emoji_alone": is_emoji_alone,
    "is_long": is_long,
    "moment": moment,
    "utc": utc,
}
