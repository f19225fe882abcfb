"""Every piece of HTML that we send, as it looks."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from app.chat.messages import Cursor, Member, Message, Refused
from app.chat.timeline import Entry, Gap, Page, arrange
from app.html.filters import HUES, data_url, day, hue, initial, time_zones
from app.html.fragments import Fragments, Place, RoomView
from app.settings import Settings
from tests.cast import ANN, BOB, LOBBY, START, WATERCOOLER, message

Snapshot = Callable[[str, str], None]

CURSOR = Cursor("EPOCH", 3)
CONVERSATION = (
    message(1, "hello"),
    message(2, "are you there?\n\n  I have a question", minutes=1),
    message(3, "yes: see https://example.org/a?b=c&d=e and www.example.org", BOB, minutes=2),
    message(4, "a" * 120, BOB, minutes=20),
    message(5, "good morning", BOB, minutes=60 * 18),
)


@pytest.fixture(scope="module")
def fragments() -> Fragments:
    return Fragments(Settings(), "/static/DIGEST")


def entries(messages: Sequence[Message] = CONVERSATION, after: Message | None = None, zone: str = "UTC") -> list[Entry]:
    return arrange(messages, after, ZoneInfo(zone), timedelta(minutes=5))


def page(messages: Sequence[Message] = CONVERSATION, older: int | None = None) -> Page:
    return Page(entries(messages), messages[-1].position if messages else 0, older)


def room_page(fragments: Fragments, member: Member | None, **changes: Any) -> str:
    view = RoomView(
        room=LOBBY,
        rooms=[LOBBY, WATERCOOLER],
        members=[ANN, BOB],
        member=member,
        page=page(),
        cursor=CURSOR,
        zone="UTC",
        keys=["ONE", "TWO"],
        nonce="NONCE",
    )
    return fragments.room(replace(view, **changes))


# Pages


def test_a_page_for_somebody_without_a_name(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("page_nobody", room_page(fragments, None))


def test_a_page_for_a_member(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("page_member", room_page(fragments, ANN))


def test_an_empty_room(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("page_empty", room_page(fragments, ANN, page=page(())))


def test_a_page_of_history(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("page_history", room_page(fragments, None, page=page(older=7), is_newest=False))


def test_a_refused_name_stays_in_its_form(fragments: Fragments, snapshot: Snapshot) -> None:
    refused = {"refusal": Refused("name-taken", "Taken."), "entered": {"name": "Bob", "time_zone": "Asia/Tokyo"}}
    snapshot("page_name_refused", room_page(fragments, None, **refused))


def test_a_refused_renaming_opens_the_account(fragments: Fragments) -> None:
    refused = {"refusal": Refused("name-taken", "Taken."), "entered": {"name": "Bob", "time_zone": "UTC"}}
    account = BeautifulSoup(room_page(fragments, ANN, **refused), "html.parser").select_one("#account")
    assert account and account.has_attr("open")
    assert "Taken." in account.text


def test_a_refused_room_stays_in_its_form(fragments: Fragments) -> None:
    refused = {"refusal": Refused("name-blank", "No name."), "entered": {"room_name": "  "}}
    form = BeautifulSoup(room_page(fragments, ANN, **refused), "html.parser").select_one(".new-room")
    assert form and form.has_attr("open")
    assert "No name." in form.text


def test_a_refused_message_stays_in_the_composer(fragments: Fragments) -> None:
    refused = {"refusal": Refused("too-fast", "Too fast."), "entered": {"text": "\nlong\n<thoughts>"}}
    soup = BeautifulSoup(room_page(fragments, ANN, **refused), "html.parser")
    textarea, notice = soup.select_one("#composer textarea"), soup.select_one("#notice")
    assert textarea and notice
    assert textarea.text == "\n\nlong\n<thoughts>"  # browsers drop the first line end of a textarea
    assert notice.text == "Too fast."


def test_an_error_page(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("page_error", fragments.error(404, "Not Found", "There is nothing here.", "NONCE"))


# Fragments over HTTP


def test_older_messages_with_more_before_them(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("older", fragments.older(LOBBY, page(older=1), "UTC", "NONCE"))


def test_the_oldest_messages(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("older_last", fragments.older(LOBBY, page(CONVERSATION[:1]), "UTC", "NONCE"))


def test_a_gap_that_is_filled(fragments: Fragments, snapshot: Snapshot) -> None:
    after, *shown = CONVERSATION
    snapshot("gap_filled", fragments.filled(Gap(1, 6), None, entries(shown, after), "UTC"))


def test_a_gap_that_becomes_smaller(fragments: Fragments, snapshot: Snapshot) -> None:
    shown = entries(CONVERSATION[3:], CONVERSATION[2])
    snapshot("gap_smaller", fragments.filled(Gap(1, 6), Gap(1, 4), shown, "UTC"))


# Frames


def test_appended_messages_in_the_viewers_time_zone(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_appended", fragments.appended(entries(zone="Asia/Tokyo"), CURSOR, "Asia/Tokyo"))


def test_appended_messages_after_a_gap(fragments: Fragments, snapshot: Snapshot) -> None:
    shown = entries(CONVERSATION[1:2], CONVERSATION[0])
    snapshot("frame_appended_gap", fragments.appended(shown, CURSOR, "UTC", Gap(1, 600)))


def test_replaced_messages(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_replaced", fragments.replaced(LOBBY, page(older=7), CURSOR, "UTC"))


def test_the_end_of_a_resume(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_resumed", fragments.resumed([LOBBY, WATERCOOLER], WATERCOOLER, [ANN]))


def test_messages_that_are_not_read_out(fragments: Fragments, snapshot: Snapshot) -> None:
    shown = fragments.appended(entries(CONVERSATION[:1]), CURSOR, "UTC", is_announced=False)
    snapshot("frame_missed", fragments.missed(137) + shown)


def test_what_an_open_page_forgets(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_trimmed", fragments.trimmed(WATERCOOLER, 7))


def test_who_is_here(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_members", fragments.members([ANN, BOB]))


def test_a_crowd_is_counted(snapshot: Snapshot) -> None:
    crowd = [Member(f"{number:016}", f"Member {number}", "UTC") for number in range(5)]
    snapshot("frame_members_crowd", Fragments(Settings(members_shown=2), "").members(crowd))


def test_a_new_room(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_room_added", fragments.room_added(WATERCOOLER))


def test_the_rooms_once_one_was_removed(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_rooms", fragments.rooms([LOBBY, WATERCOOLER], LOBBY))


def test_a_heartbeat(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_heartbeat", fragments.heartbeat())


def test_a_notice(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_notice", fragments.notice("That was <too> fast."))


def test_a_receipt(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_receipt", fragments.receipt([Place(1, "ONE"), Place(2, "TWO")], [], "", ["NEXT", "LAST"]))


@given(st.integers(1, 20), st.text(max_size=20), st.text("aZ0_-", max_size=8))
def test_the_usual_receipt_lets_go_of_a_draft_as_any_other_does(number: int, key: str, fresh: str) -> None:
    usual = FRAGMENTS.receipt([Place(number, key)], [], "", [fresh])
    told = FRAGMENTS.receipt([Place(number, key)], [], "Too fast.", [fresh])
    assert usual == told.replace("Too fast.", "")


def test_a_receipt_for_what_is_refused(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_receipt_refused", fragments.receipt([Place(1, "ONE")], [Place(2, "TWO")], "Too fast.", ["NEXT"]))


# What holds for all of them


@given(st.text(min_size=1, max_size=200))
def test_any_body_is_shown_as_it_is_and_adds_no_element_but_links(body: str) -> None:
    soup = BeautifulSoup(FRAGMENTS.appended(entries([message(1, body)]), CURSOR, "UTC"), "html.parser")
    (shown,) = soup.select(".message__body")
    assert shown.text == body.replace("\r\n", "\n").replace("\r", "\n") or "\r" in body or "\0" in body
    assert {element.name for element in shown.find_all(True)} <= {"a"}
    assert all(str(link["href"]).startswith(("http://", "https://")) for link in shown.select("a"))
    assert [part.name for part in soup.find_all(True, recursive=False)] == ["ol", "input"]


@given(st.text(min_size=1, max_size=40))
def test_any_name_is_shown_as_it_is(name: str) -> None:
    frame = FRAGMENTS.members([Member("a1", name, "UTC")])
    (shown,) = BeautifulSoup(frame, "html.parser").select("#members bdi")
    assert shown.text == name or "\r" in name or "\0" in name


spoken = st.builds(
    lambda number, author, text, seconds: replace(message(number, text, author), created_at=START + seconds),
    st.integers(1, 3),
    st.sampled_from([ANN, replace(ANN, name="Anna"), BOB]),
    st.sampled_from(["hello", "<b>", "www.example.org"]),
    st.sampled_from([timedelta(0), timedelta(minutes=3), timedelta(hours=9, minutes=54)]),
)


@pytest.mark.breaks("app/html/fragments.py", "key = (entry, zone, room.id)", "key = entry.message.position")
@given(st.lists(spoken, max_size=6), st.sampled_from(["UTC", "Asia/Tokyo", "America/St_Johns"]))
def test_what_is_kept_is_what_would_be_rendered(said: list[Message], zone: str) -> None:
    shown = entries(said, zone=zone)
    forgetful = Fragments(Settings(), "/static/DIGEST", kept_characters=0)
    assert FRAGMENTS.appended(shown, CURSOR, zone) == forgetful.appended(shown, CURSOR, zone)
    stretch = Page(shown, 3, None)
    for each in (zone, "UTC"):
        assert FRAGMENTS.older(LOBBY, stretch, each, "N") == forgetful.older(LOBBY, stretch, each, "N")


def test_a_message_is_rendered_once_for_all_frames_and_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    fragments, rendered = Fragments(Settings(), "/static/DIGEST"), Counter[int]()

    def render(entry: Entry, zone: str) -> Markup:
        rendered[entry.message.position] += 1
        return Markup("<li></li>")

    monkeypatch.setattr(fragments, "_message", render)
    for known in ((), CONVERSATION[:1], CONVERSATION):
        for each in entries(CONVERSATION[len(known) :], known[-1] if known else None):
            fragments.appended([each], CURSOR, "UTC")
    room_page(fragments, ANN)
    fragments.replaced(LOBBY, page(), CURSOR, "UTC")
    assert rendered == Counter(each.position for each in CONVERSATION)


def test_every_part_of_a_frame_is_out_of_band_and_inert(fragments: Fragments) -> None:
    frames = (
        fragments.appended(entries(), CURSOR, "UTC", Gap(0, 9)),
        fragments.replaced(LOBBY, page(older=3), CURSOR, "UTC"),
        fragments.resumed([LOBBY], LOBBY, [ANN]),
        fragments.members([ANN]),
        fragments.room_added(WATERCOOLER),
        fragments.heartbeat(),
        fragments.notice("hello"),
        fragments.receipt([Place(1, "a")], [Place(2, "b")], "hello", ["c"]),
        fragments.receipt([], [Place(1, "a")], "hello", [], join=LOBBY),
    )
    for frame in frames:
        soup = BeautifulSoup(frame, "html.parser")
        assert all(part.has_attr("hx-swap-oob") for part in soup.find_all(True, recursive=False))
        assert not soup.get_text(strip=True) or not any(
            text.strip() for text in soup.find_all(string=True, recursive=False)
        )
        attributes = {name for element in soup.find_all(True) for name in element.attrs}
        assert {name for name in attributes if name.startswith(("hx-", "data-hx-"))} == {"hx-swap-oob"}


def test_days_colours_letters_and_zones() -> None:
    assert day(START.date()) == "Monday, 23 November 2026"
    assert initial("ann") == "A"
    assert hue("Ann") == hue("ANN") and 0 <= hue("Ann") < HUES
    assert "Europe/Berlin" in time_zones() and time_zones()[0] == "UTC"
    assert data_url("<p>a b</p>\n") == "data:text/html;charset=utf-8,%3Cp%3Ea%20b%3C/p%3E"


FRAGMENTS = Fragments(Settings(), "/static/DIGEST")
