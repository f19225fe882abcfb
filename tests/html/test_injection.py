"""What people write stays text, wherever it is shown: no element, no attribute comes of it but a link.

Each fragment is rendered twice, with hostile texts and with innocent ones in their places. Parsed, the two have
the same elements and attributes, and differ in nothing but the texts.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, timedelta
from functools import lru_cache
from itertools import product
from urllib.parse import quote

import pytest
from bs4 import BeautifulSoup
from bs4.element import Tag
from fastapi.testclient import TestClient
from httpx2 import Response
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect

from app.chat.messages import Cursor, Member, Refused, Room, clean
from app.chat.names import clean_name
from app.chat.timeline import Entry, Gap, Page, arrange
from app.html.fragments import Fragments
from app.html.highlight import KINDS
from app.html.views import Place, RoomView
from app.settings import Settings
from tests.cast import ANN, BOB, LOBBY, message
from tests.hostile import (
    BODIES,
    CURSORS,
    GAPS,
    HOSTS,
    LONGEST,
    NAMES,
    ORIGINS,
    POSITIONS,
    SLUGS,
    TIME_ZONES,
)
from tests.shown import shown_text

FRAGMENTS = Fragments(Settings(members_shown=LONGEST), "/static/none")
CURSOR = Cursor("EPOCH", 1)
ESCAPING = ("app/html/templates.py", "autoescape=True", "autoescape=False")

# The elements that markup comes to, and their attributes.
MARKUP: dict[str, set[tuple[str, str]]] = {
    **{name: set() for name in ("strong", "em", "s", "blockquote", "ul", "ol", "li", "code")},
    "pre": {("class", "code"), ("tabindex", "0")},
    "span": {("class", name) for _, name in KINDS},
}

Element = tuple[int, str, list[tuple[str, str]]]


def accepted(check: Callable[[str], str], texts: Sequence[str]) -> list[str]:
    """Return what `check` makes of those `texts` that it does not refuse."""
    found = []
    for text in texts:
        try:
            found.append(check(text))
        except Refused:
            continue
    return found


STORED = accepted(lambda text: clean(text, LONGEST), BODIES)
TAKEN = accepted(lambda text: clean_name(text, Settings().name_length), NAMES)


def test_the_corpus_is_large_and_says_nothing_twice() -> None:
    assert len(STORED) > 500
    assert len(set(BODIES)) == len(BODIES)
    assert len(TAKEN) > 200
    assert len(TAKEN) < len(NAMES)


# Where texts are shown


def entries(texts: Sequence[str], authors: Sequence[str] = (ANN.name,)) -> list[Entry]:
    log = [
        message(number, text, Member(f"c{number:015}", authors[number % len(authors)], "UTC"))
        for number, text in enumerate(texts, start=1)
    ]
    return arrange(log, None, UTC, timedelta(0))


def people(names: Sequence[str]) -> list[Member]:
    return [Member(f"c{number:015}", name, "UTC") for number, name in enumerate(names)]


def page_of(shown: list[Entry]) -> Page:
    return Page(shown, CURSOR.position, None)


def filled(texts: Sequence[str]) -> str:
    found = page_of(entries(texts, texts))
    return FRAGMENTS.filled(LOBBY, Gap(1, 9), Gap(1, 4, 2), found, CURSOR, "UTC", "NONCE")


def rooms(names: Sequence[str]) -> list[Room]:
    return [Room(number, f"room-{number}", name) for number, name in enumerate(names, start=2)]


def page(texts: Sequence[str], member: Member | None = None, room: Room = LOBBY, **entered: str) -> str:
    view = RoomView(
        room=room,
        rooms=[room, *rooms(texts)],
        members=people(texts),
        member=member,
        page=Page(entries(texts, texts), len(texts), older=None),
        cursor=CURSOR,
        zone="UTC",
        keys=["ONE"],
        nonce="NONCE",
        refusal=Refused("reason", texts[0]) if entered else None,
        entered=entered,
    )
    return FRAGMENTS.room(view)


def refused_page(texts: Sequence[str]) -> str:
    """Return a page with a text in each of its fields."""
    draft, name, room_name, zone, *_ = texts
    member, room = Member("c1", zone, "UTC"), Room(2, "room", name)
    return page(texts, member, room, text=draft, name=name, room_name=room_name, time_zone=zone)


FRAMES: dict[str, Callable[[Sequence[str]], str]] = {
    "bodies": lambda texts: FRAGMENTS.changes(LOBBY, entries(texts), CURSOR, "UTC"),
    "authors": lambda texts: FRAGMENTS.changes(LOBBY, entries(texts, texts), CURSOR, "UTC", gap=Gap(1, 9, 7)),
    "everything anew": lambda texts: FRAGMENTS.replaced(rooms(texts)[0], Page(entries(texts), 1, None), CURSOR, "UTC"),
    "where messages begin": lambda texts: "".join(FRAGMENTS.trimmed(room, 7) for room in rooms(texts)),
    "members": lambda texts: FRAGMENTS.members(people(texts)),
    "a new room": lambda texts: "".join(map(FRAGMENTS.room_added, rooms(texts))),
    "a resume": lambda texts: FRAGMENTS.resumed(rooms(texts), LOBBY, people(texts)),
    "notices": lambda texts: "".join(map(FRAGMENTS.notice, texts)),
    "receipts": lambda texts: "".join(
        FRAGMENTS.receipt([Place(1, "k1")], [Place(2, "k2")], text, ["k3"]) for text in texts
    ),
}
PAGES: dict[str, Callable[[Sequence[str]], str]] = {
    "a page": lambda texts: page(texts, BOB),
    "a page for nobody": page,
    "a filled gap": filled,
    "older messages": lambda texts: FRAGMENTS.older(LOBBY, Page(entries(texts, texts), 1, 7), CURSOR, "UTC", "NONCE"),
}
FRAGMENT = FRAMES | PAGES


# What a parser makes of them


def parse(html: str) -> BeautifulSoup:
    """Return `html` parsed, without the 400 time zones: they take most of the time, and never change."""
    return BeautifulSoup(re.sub(r"<option>[^<]*</option>", "", html), "html.parser")


def shape(html: str) -> tuple[list[Element], str]:
    """Return the elements of `html`, with their depths and attributes, and all its text but that of messages.

    What becomes of a message's markup is checked here, and its text below.
    """
    soup = parse(html)
    for more in soup.select(".message__more"):
        more.decompose()
    for link in soup.select(".message__body a"):
        assert set(link.attrs) - {"target"} == {"href", "rel"}
        assert re.match(r"https?://|mailto:[^?]*$", str(link["href"]), re.I)
        assert link["rel"] == ["noopener", "nofollow", "ugc"]
        assert link.get("target") == (None if str(link["href"]).startswith("mailto:") else "_blank")
        if "xn--" in link.text and "xn--" not in link["href"]:  # what deceives is shown in another way
            prefix = "" if ":" in link.text else "mailto:" if "@" in link.text else "https://"
            link.string = str(link["href"]).removeprefix(prefix)
        link.unwrap()
    for body in soup.select(".message__body"):
        for element in body.find_all(True):
            attributes = {
                (name, " ".join(value) if isinstance(value, list) else value) for name, value in element.attrs.items()
            }
            assert attributes <= MARKUP[element.name] or (element.name == "ol" and str(element["start"]).isdigit())
        body["class"] = "message__body"
        body.clear()
    for avatar in soup.select(".avatar"):  # its letter and its colour follow from the name
        assert not avatar.find(True)
        assert len(avatar.text) <= 3  # "ß" is "SS", and "ffi" three letters
        assert 0 <= int(str(avatar.attrs.pop("data-hue"))) < 12
        avatar.clear()
    return list(_elements(soup, 0)), soup.text


def _elements(parent: Tag, depth: int) -> Iterator[Element]:
    for child in parent.children:
        if isinstance(child, Tag):
            attributes = {
                name: " ".join(value) if isinstance(value, list) else value for name, value in child.attrs.items()
            }
            yield depth, child.name, sorted(attributes.items())
            yield from _elements(child, depth + 1)


@lru_cache
def innocent_shape(render: Callable[[Sequence[str]], str], count: int) -> tuple[list[Element], str]:
    return shape(render([f"INNOCENT{number}." for number in range(count)]))


def compare(render: Callable[[Sequence[str]], str], texts: Sequence[str]) -> None:
    """Nothing but the texts tells a fragment from the same one with innocent texts."""

    def with_texts(innocent: str) -> str:
        return re.sub(r"INNOCENT(\d+)\.", lambda found: texts[int(found[1])], innocent)

    elements, text = shape(render(texts))
    innocent_elements, innocent_text = innocent_shape(render, len(texts))
    for found, (depth, name, attributes) in zip(elements, innocent_elements, strict=False):
        assert found == (depth, name, [(key, with_texts(value)) for key, value in attributes])
    assert len(elements) == len(innocent_elements)
    assert text == with_texts(innocent_text)


@pytest.mark.breaks(*ESCAPING)
@pytest.mark.parametrize("what", FRAGMENT)
def test_hostile_texts_add_nothing_to_a_fragment(what: str) -> None:
    compare(FRAGMENT[what], STORED)


@pytest.mark.breaks(*ESCAPING)
def test_hostile_texts_add_nothing_to_a_form_that_was_refused() -> None:
    for number in range(0, len(STORED), 4):
        compare(refused_page, (STORED * 2)[number : number + 4])


# Anything at all around hostile pieces, and such pieces cut anywhere.
pieces = st.sampled_from(STORED).flatmap(
    lambda text: st.tuples(st.integers(0, len(text)), st.integers(0, 60)).map(
        lambda cut: text[cut[0] : cut[0] + cut[1]]
    )
)
texts = (
    st.lists(pieces | st.text(st.characters(exclude_categories=()), max_size=5), min_size=1, max_size=6)
    .map("".join)
    .map(lambda text: clean(f"{text}.", LONGEST))
)


@pytest.mark.breaks(*ESCAPING)
@hypothesis_settings(max_examples=30)
@given(st.lists(texts, min_size=4, max_size=12))
def test_no_text_adds_anything_to_a_fragment(texts: list[str]) -> None:
    for render in FRAGMENT.values():
        compare(render, texts)
    compare(refused_page, texts[:4])


@pytest.mark.breaks("app/html/bodies.py", "if href else escape(text)", "if href else Markup(text)")
@given(texts)
def test_a_body_is_shown_as_it_is_stored(text: str) -> None:
    (body,) = parse(FRAMES["bodies"]([text])).select(".message__body")
    for link in body.select("a"):
        if "xn--" in link.text:
            return  # what deceives is shown in another way
    assert body.text == shown_text(text)


@pytest.mark.breaks(*ESCAPING)
@pytest.mark.parametrize("what", FRAMES)
def test_a_frame_with_hostile_texts_is_inert(what: str) -> None:
    soup = parse(FRAMES[what](STORED))
    found = {name for element in soup.find_all(True) for name in element.attrs if re.match("(data-)?hx-", name)}
    assert found == {"hx-swap-oob"}
    assert all(element.get("hx-swap-oob") for element in soup.find_all(True, recursive=False))


# Through HTTP, with names, rooms, time zones, addresses and headers


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"messages_burst": LONGEST, "creations_burst": LONGEST, "message_length": LONGEST, "page_size": 500}
    )


def post(client: TestClient, path: str, header: dict[bytes, bytes] | None = None, /, **fields: str) -> Response:
    """Post a form as a browser that checks nothing: with halves of surrogate pairs as they are."""
    content = "&".join(f"{name}={quote(text.encode('utf-8', 'surrogatepass'))}" for name, text in fields.items())
    headers = {b"Content-Type": b"application/x-www-form-urlencoded", **(header or {})}
    return client.post(path, content=content, headers=headers, follow_redirects=False)


def test_hostile_messages_are_shown_as_they_are(client: TestClient) -> None:
    post(client, "/name", name="Ann")
    for text in BODIES[::20]:
        answer = post(client, "/rooms/lobby/messages", message=text)
        assert answer.status_code == 303
    shown = [body.text for body in parse(client.get("/").text).select(".message__body")]
    # A form carries no halves of surrogate pairs: what decodes it has put replacements there, three of them.
    assert [re.sub("\ufffd+", "\ufffd", text) for text in shown] == [
        re.sub("\ufffd+", "\ufffd", shown_text(clean(text, LONGEST))) for text in BODIES[::20]
    ]


@pytest.mark.breaks(*ESCAPING)
@pytest.mark.parametrize(
    ("path", "selector"), [("/name", "#account input[name=name]"), ("/rooms", ".new-room input[name=name]")]
)
def test_a_hostile_name_is_taken_as_it_is_or_refused_with_a_sentence(
    client: TestClient, path: str, selector: str
) -> None:
    post(client, "/name", name="Ann")
    statuses = set()
    for name in NAMES[::4]:
        answer = post(client, path, name=name)
        statuses.add(answer.status_code)
        if answer.status_code == 303:
            assert answer.headers["location"].isascii()
        else:
            page = parse(answer.text)
            assert page.select("[role=alert]"), ascii(name)
            assert len(page.select(selector)) == 1
            assert not page.select("[onerror], [onload], [onfocus], [hx-swap-oob]")
    assert statuses <= {303, 409, 422}
    assert {303, 422} <= statuses


@pytest.mark.breaks(
    "app/web/posts.py", "if time_zone not in (*time_zones(), self._settings.time_zone):", "if time_zone in ():"
)
def test_a_hostile_time_zone_is_refused(client: TestClient) -> None:
    for zone in TIME_ZONES:
        answer = post(client, "/name", name="Ann", time_zone=zone)
        assert answer.status_code == 422, ascii(zone)
        assert "set-cookie" not in answer.headers
        assert "Unknown time zone" in parse(answer.text).select("[role=alert]")[0].text


def raw_header(name: str, value: str) -> dict[bytes, bytes]:
    return {name.encode(): value.encode("utf-8", "surrogatepass").replace(b"\n", b"")}


def test_a_form_in_another_encoding_is_refused(client: TestClient) -> None:
    """Some of what Python knows as encodings decode to halves of surrogate pairs, which no answer can hold."""
    text = f'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n{"hello" * 10}\\ud800\r\n--x--\r\n'
    for charset in ("utf-8", "unicode_escape", "utf-7", "x"):
        headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
        assert client.post("/name", content=text.encode(), headers=headers).status_code == 415, charset


ADDRESSES = (
    *(f"/rooms/{slug}" for slug in SLUGS),
    *(f"/rooms/{slug}/messages?before=1" for slug in SLUGS),
    *(f"{path}?before={position}" for path in ("/", "/rooms/lobby", "/rooms/lobby/messages") for position in POSITIONS),
    *(f"/rooms/lobby/gap?between={gap}" for gap in GAPS),
)


def test_a_hostile_address_gets_a_clean_answer(client: TestClient) -> None:
    innocent = shape(client.get("/nowhere").text)[0]
    for address in ADDRESSES:
        answer = client.get(address)
        assert answer.status_code < 500, address[:80]
        if answer.status_code == 404:
            assert shape(answer.text)[0] == innocent


def test_a_hostile_header_gets_a_clean_answer(client: TestClient) -> None:
    values = (*HOSTS, *ORIGINS, *BODIES[::50], f"parlor_member={'x' * LONGEST}")
    for header, value in product(("Host", "Origin", "Sec-Fetch-Site", "Cookie", "Referer", "X-Forwarded-For"), values):
        for answer in (
            client.get("/rooms/nowhere", headers=raw_header(header, value)),
            post(client, "/rooms/lobby/messages", raw_header(header, value), message="hello"),
        ):
            assert answer.status_code < 500, (header, ascii(value)[:80])


@pytest.mark.breaks("app/web/security.py", "if is_foreign(scope, self.allowed_origins):", "if False:")
def test_a_hostile_origin_changes_nothing(client: TestClient) -> None:
    for origin in ORIGINS:
        header = raw_header("Origin", origin)
        assert post(client, "/name", header, name="Ann").status_code == 403, ascii(origin)
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers=header):
            pass


def test_a_hostile_cursor_gets_the_newest_page_or_a_notice(client: TestClient) -> None:
    post(client, "/name", name="Ann")
    post(client, "/rooms/lobby/messages", message="hello")
    with client.websocket_connect("/ws") as socket:
        for cursor in CURSORS:
            socket.send_json({"cursor": cursor})
            answers = ""
            while 'id="rooms"' not in answers and "could not read this frame" not in answers:
                answers += socket.receive_text()
            assert "could not read this frame" in answers or "hello" in answers, ascii(cursor)[:80]
