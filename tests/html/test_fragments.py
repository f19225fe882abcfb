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

from app.chat.mentions import Unclear
from app.chat.messages import EVERYBODY, Cursor, Member, Mention, Message, Quote, Reaction, Reactor, Refused
from app.chat.timeline import Entry, Gap, Page, arrange
from app.html.filters import HUES, data_url, day, hue, initial, time_zones
from app.html.fragments import Fragments
from app.html.views import Place, Result, Results, RoomView, SearchView
from app.settings import Settings
from tests.cast import ANN, BOB, LOBBY, START, WATERCOOLER, message
from tests.shown import shown_text

Snapshot = Callable[[str, str], None]

CURSOR = Cursor("EPOCH", 3)
CONVERSATION = (
    message(1, "hello"),
    message(2, "are you there?\n\n  I have a question", minutes=1),
    message(3, "yes: see https://example.org/a?b=c&d=e and www.example.org", BOB, minutes=2),
    message(4, "a" * 120, BOB, minutes=20),
    message(5, "good morning", BOB, minutes=60 * 18),
)


MANY = tuple(Reactor(f"{number:016x}", f"Guest {number}", number + 10) for number in range(23))
CHANGED = (
    replace(message(1, "hello again"), changed=4, edited_at=START + timedelta(minutes=3)),
    replace(message(2, ""), changed=5, is_deleted=True),
    replace(message(3, "yes", BOB), changed=7, reactions=(Reaction("👍", MANY[:2]), Reaction("❤️", MANY))),
)


MENTIONS = (Mention(BOB.id, "Bob", "bob"), Mention(EVERYBODY, EVERYBODY, "room"))


@pytest.fixture(scope="module")
def fragments() -> Fragments:
    return Fragments(Settings(), "/static/DIGEST")


def entries(messages: Sequence[Message] = CONVERSATION, after: Message | None = None, zone: str = "UTC") -> list[Entry]:
    return arrange(messages, after, ZoneInfo(zone), timedelta(minutes=5))


def page(messages: Sequence[Message] = CONVERSATION, older: int | None = None) -> Page:
    return Page(entries(messages), messages[-1].position if messages else 0, older)


def page_of(shown: Sequence[Entry]) -> Page:
    return Page(shown, CURSOR.position, None)


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


def search_view(query: str, results: Results) -> SearchView:
    return SearchView(query, is_ranked=False, results=results, zone="Europe/Berlin", nonce="NONCE")


def test_the_search_page(fragments: Fragments, snapshot: Snapshot) -> None:
    pieces = [("…", False), ("is there <b> ", False), ("tea", True), ("?", False)]
    found = [Result(LOBBY, message(1), pieces), Result(WATERCOOLER, message(7, author=BOB), pieces[2:])]
    snapshot("page_search", fragments.search(search_view('tea "<b>"', Results(found, older=12))))


@pytest.mark.parametrize(
    ("name", "query", "results"),
    [("help", "", Results()), ("none", "tea", Results()), ("refused", "in:x", Results(notice="There is no “<b>”."))],
)
def test_searches_without_results(
    fragments: Fragments, snapshot: Snapshot, name: str, query: str, results: Results
) -> None:
    snapshot(f"results_{name}", fragments.results(search_view(query, results)))


def test_an_error_page(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("page_error", fragments.error(404, "Not Found", "There is nothing here.", "NONCE"))


def test_a_room_without_messages_has_an_empty_list(fragments: Fragments) -> None:
    """CSS shows "No messages yet." after `:empty`, which a space would end."""
    (messages,) = BeautifulSoup(room_page(fragments, ANN, page=page(())), "html.parser").select("#messages")
    assert messages.contents == []


def test_a_page_around_a_message(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("page_permalink", room_page(fragments, ANN, is_newest=False, newer=Gap(5, 9, 1001)))


def test_a_page_around_a_message_of_ones_own(fragments: Fragments, snapshot: Snapshot) -> None:
    earlier = [("helo", START), ("hello <b>", START + timedelta(minutes=1))]
    page = BeautifulSoup(room_page(fragments, ANN, about=CHANGED[0], versions=earlier), "html.parser")
    snapshot("page_about_message", "".join(map(str, page.select(".dock > noscript, .versions"))))


# Fragments over HTTP


def test_emoji_to_choose_from(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("emoji", fragments.emoji([("🚀", "rocket"), ("👍", "thumbs up")]))


def test_no_emoji_of_that_name(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("emoji_none", fragments.emoji([]))


def test_older_messages_with_more_before_them(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("older", fragments.older(LOBBY, page(older=1), CURSOR, "UTC", "NONCE"))


def test_the_oldest_messages(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("older_last", fragments.older(LOBBY, page(CONVERSATION[:1]), CURSOR, "UTC", "NONCE"))


def test_messages_that_changed(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_changed", fragments.changed(LOBBY, CHANGED, "Asia/Tokyo"))


def test_new_messages_and_some_that_changed(fragments: Fragments, snapshot: Snapshot) -> None:
    shown = entries(CONVERSATION[3:], CONVERSATION[2])
    snapshot("frame_changes_both", fragments.changes(LOBBY, shown, CURSOR, "UTC", CHANGED[:2]))


def test_a_change_without_a_new_message(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_changes_only", fragments.changes(LOBBY, [], CURSOR, "UTC", CHANGED[:1]))


def test_messages_look_on_a_page_as_the_frame_that_changed_them(fragments: Fragments) -> None:
    page = BeautifulSoup(fragments.changes(LOBBY, entries(CHANGED), CURSOR, "UTC"), "html.parser")
    frame = BeautifulSoup(fragments.changed(LOBBY, CHANGED, "UTC"), "html.parser")
    for part in frame.select("[hx-swap-oob=outerMorph]"):
        del part["hx-swap-oob"]
        assert page.select_one(f"#{part['id']}") == part


def test_a_draft_that_becomes_a_reply(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_reply", fragments.reply(Quote(12, "Ann", "<b> hello"), LOBBY))


def test_replies_quote_their_original(fragments: Fragments, snapshot: Snapshot) -> None:
    replies = [
        replace(message(4, "yes", BOB), reply=Quote(1, "Ann", "hello")),
        replace(message(5, "no"), reply=Quote(2, "Ann", None)),
    ]
    snapshot("frame_changes_replies", fragments.changes(LOBBY, entries(replies), CURSOR, "UTC"))


def test_a_recheck_that_is_answered(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_rechecked", fragments.rechecked(CURSOR))


def test_a_page_that_lets_go_of_a_message(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_let_go", fragments.let_go())


def test_a_page_that_lets_go_of_the_editor_and_the_question(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_let_go_all", fragments.let_go(from_editor=True, from_question=True))


def test_a_text_to_be_edited(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_editor", fragments.editor(message(1, "one\n <two>"), "Asia/Tokyo"))


def test_a_gap_that_is_filled(fragments: Fragments, snapshot: Snapshot) -> None:
    after, *shown = CONVERSATION
    snapshot(
        "gap_filled", fragments.filled(LOBBY, Gap(1, 6), None, page_of(entries(shown, after)), CURSOR, "UTC", "NONCE")
    )


def test_a_gap_that_becomes_smaller(fragments: Fragments, snapshot: Snapshot) -> None:
    shown = entries(CONVERSATION[3:], CONVERSATION[2])
    snapshot("gap_smaller", fragments.filled(LOBBY, Gap(1, 6), Gap(1, 4, 2), page_of(shown), CURSOR, "UTC", "NONCE"))


# Frames


def test_appended_messages_in_the_viewers_time_zone(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_changes", fragments.changes(LOBBY, entries(zone="Asia/Tokyo"), CURSOR, "Asia/Tokyo"))


def test_appended_messages_after_a_gap(fragments: Fragments, snapshot: Snapshot) -> None:
    shown = entries(CONVERSATION[1:2], CONVERSATION[0])
    snapshot("frame_changes_gap", fragments.changes(LOBBY, shown, CURSOR, "UTC", gap=Gap(1, 600, 598)))


def test_replaced_messages(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_replaced", fragments.replaced(LOBBY, page(older=7), CURSOR, "UTC"))


def test_the_end_of_a_resume(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_resumed", fragments.resumed([LOBBY, WATERCOOLER], WATERCOOLER, [ANN]))


def test_messages_that_are_not_read_out(fragments: Fragments, snapshot: Snapshot) -> None:
    shown = fragments.changes(LOBBY, entries(CONVERSATION[:1]), CURSOR, "UTC", is_announced=False)
    snapshot("frame_missed", fragments.missed(137) + shown)


def test_what_an_open_page_forgets(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_trimmed", fragments.trimmed(WATERCOOLER, 7))


def test_the_member_list(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_members", fragments.members([ANN, BOB]))


def test_a_crowd_is_counted(snapshot: Snapshot) -> None:
    crowd = [Member(f"{number:016}", f"Member {number}", "UTC") for number in range(5)]
    snapshot("frame_members_crowd", Fragments(Settings(members_shown=2), "").members(crowd))


def test_members_are_typing(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_typing", fragments.typing([(ANN, 0), (replace(BOB, name="<b>"), 3)]))


def test_several_members_are_typing(fragments: Fragments, snapshot: Snapshot) -> None:
    crowd = [(Member(f"{number:016x}", f"Guest {number}", "UTC"), number) for number in range(2, 6)]
    snapshot("frame_typing_several", fragments.typing(crowd))


def test_nobody_is_typing(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_typing_nobody", fragments.typing([]))


def test_the_mentions_of_a_draft(fragments: Fragments, snapshot: Snapshot) -> None:
    many = tuple(f"Anna {number}" for number in range(7))
    unclear = [Unclear("an", ("Ann", "<b>")), Unclear("anna", many), Unclear("<i>", ())]
    snapshot("frame_meant", fragments.meant([MENTIONS[0], *unclear, MENTIONS[1]]))


def test_a_message_that_mentions_somebody(fragments: Fragments, snapshot: Snapshot) -> None:
    said = [
        replace(message(1, "**@bob** and @room: `@bob` @bobby https://example.org/@bob"), mentions=MENTIONS),
        replace(message(2, "> @<b>"), mentions=(Mention(BOB.id, "<b>", "<b>"),)),
    ]
    snapshot("frame_changes_mentions", fragments.changes(LOBBY, entries(said), CURSOR, "UTC"))


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


def test_a_receipt_for_refused_drafts(fragments: Fragments, snapshot: Snapshot) -> None:
    snapshot("frame_receipt_refused", fragments.receipt([Place(1, "ONE")], [Place(2, "TWO")], "Too fast.", ["NEXT"]))


# What holds for all of them


@given(st.text(min_size=1, max_size=200))
def test_any_body_adds_only_elements_of_markup(body: str) -> None:
    body = body.replace("\r", "").replace("\0", "")
    soup = BeautifulSoup(FRAGMENTS.changes(LOBBY, entries([message(1, body)]), CURSOR, "UTC"), "html.parser")
    (shown,) = soup.select(".message__body")
    assert shown.text == shown_text(body)
    elements = {"a", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li"}
    assert {element.name for element in shown.find_all(True)} <= elements
    assert all(str(link["href"]).startswith(("http://", "https://", "mailto:")) for link in shown.select("a"))
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
def test_cached_html_equals_fresh_html(said: list[Message], zone: str) -> None:
    shown = entries(said, zone=zone)
    forgetful = Fragments(Settings(), "/static/DIGEST", kept_characters=0)
    assert FRAGMENTS.changes(LOBBY, shown, CURSOR, zone) == forgetful.changes(LOBBY, shown, CURSOR, zone)
    stretch = Page(shown, 3, None)
    for there in (zone, "UTC"):
        older = [each.older(LOBBY, stretch, CURSOR, there, "N") for each in (FRAGMENTS, forgetful)]
        assert older[0] == older[1]


def test_a_message_is_rendered_once_for_all_frames_and_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    fragments, rendered = Fragments(Settings(), "/static/DIGEST"), Counter[int]()

    def render(entry: Entry, zone: str, room: str, content: Markup) -> Markup:
        rendered[entry.message.position] += 1
        return Markup("<li></li>")

    monkeypatch.setattr(fragments, "_message", render)
    for known in ((), CONVERSATION[:1], CONVERSATION):
        for each in entries(CONVERSATION[len(known) :], known[-1] if known else None):
            fragments.changes(LOBBY, [each], CURSOR, "UTC")
    room_page(fragments, ANN)
    fragments.replaced(LOBBY, page(), CURSOR, "UTC")
    assert rendered == Counter(each.position for each in CONVERSATION)


def test_every_part_of_a_frame_is_out_of_band_and_inert(fragments: Fragments) -> None:
    frames = (
        fragments.changes(LOBBY, entries(), CURSOR, "UTC", gap=Gap(0, 9, 8)),
        fragments.replaced(LOBBY, page(older=3), CURSOR, "UTC"),
        fragments.resumed([LOBBY], LOBBY, [ANN]),
        fragments.members([ANN]),
        fragments.room_added(WATERCOOLER),
        fragments.heartbeat(),
        fragments.notice("hello"),
        fragments.changed(LOBBY, CHANGED, "UTC"),
        fragments.rechecked(CURSOR),
        fragments.let_go(from_editor=True, from_question=True),
        fragments.editor(message(1, "</textarea>"), "UTC"),
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
