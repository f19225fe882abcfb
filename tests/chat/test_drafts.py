"""What is typed into a composer arrives, every message whole and once, wherever the caret was meanwhile."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.chat.drafts import LINGERING_SECONDS, NOTED_SECONDS, PlannedMessage, SentDrafts, plan_messages, typed_since
from app.chat.messages import Draft, Refused

ONE, TWO = "one", "two"


class Server:
    """Stores each submission once, and remembers what was said of open drafts."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.said: dict[str, str] = {}
        self._submissions: set[Draft] = set()

    def take(self, drafts: list[Draft], is_open: bool) -> list[str]:
        """Take a frame, and return the keys that its receipt lets go of."""
        said = [self.said.get(draft.key) for draft in drafts]
        done = []
        for saying in plan_messages(drafts, said, is_open):
            if saying.draft and saying.draft.body and saying.draft not in self._submissions:
                self._submissions.add(saying.draft)
                self.log.append(saying.draft.body)
            done += [drafts[number - 1] for number in saying.numbers]
        if is_open:
            self.said |= {draft.key: draft.body for draft in done}
            return []
        return [draft.key for draft in done]


class Composer:
    """Drafts, of which the last is fresh a while after an Enter. Until then, the caret is in the one before."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.drafts = {0: ""}
        self.receipts: list[list[str]] = []
        self._numbers = count(1)
        self._fresh_comes = False

    @property
    def texts(self) -> list[str]:
        return list(self.drafts.values())

    def press(self, key: str) -> None:
        if key == "\n":
            self._send(open_ones=True)
            self._fresh_comes = True
        else:
            self.drafts[max(self.drafts)] += key

    def happen(self, what: str) -> None:
        if what == "fresh" and self._fresh_comes:
            self._fresh_comes = False
            self.drafts[next(self._numbers)] = ""
            self._send()
        elif what == "receipt" and self.receipts:
            for key in self.receipts.pop(0):
                self.drafts.pop(int(key), None)
        elif what == "break":
            self.receipts.clear()
            self._send()

    def _send(self, open_ones: bool = False) -> None:
        drafts = [Draft(text, str(number)) for number, text in self.drafts.items()]
        self.receipts.append(self.server.take(drafts if open_ones else drafts[:-1], open_ones))


@pytest.mark.breaks("app/chat/drafts.py", "carried += gained", "pass")
@given(
    st.lists(st.text("ab", max_size=3), max_size=6),
    st.lists(st.sampled_from(["key", "key", "key", "fresh", "receipt", "break"]), max_size=80),
)
@hypothesis_settings(max_examples=1000)
def test_fast_typing_arrives_whole_and_once(lines: list[str], events: list[str]) -> None:
    server = Server()
    page = Composer(server)
    keys = iter("".join(f"{line}\n" for line in lines))
    for event in events:
        if event != "key":
            page.happen(event)
        elif key := next(keys, ""):
            page.press(key)
    for key in keys:
        page.press(key)
    page.happen("fresh")
    for _ in list(page.receipts):
        page.happen("receipt")
    assert server.log == [line for line in lines if line]
    assert page.texts == [""]


def frames(*bodies: str) -> list[Draft]:
    return [Draft(body, key) for body, key in zip(bodies, (ONE, TWO), strict=False)]


def results(drafts: list[Draft], *said: str | None) -> list[tuple[tuple[int, ...], str]]:
    planned = plan_messages(drafts, said, is_open=False)
    return [(saying.numbers, saying.draft.body if saying.draft else "") for saying in planned]


def test_new_drafts_are_said_as_they_are() -> None:
    drafts = frames("first", "second")
    for is_open in (True, False):
        assert plan_messages(drafts, [None, None], is_open) == [
            PlannedMessage((1,), drafts[0]),
            PlannedMessage((2,), drafts[1]),
        ]


def test_a_stored_draft_is_done() -> None:
    assert plan_messages(frames("first"), ["first"], is_open=False) == [PlannedMessage((1,), None)]


@pytest.mark.parametrize("blank", ["", " ", "\n\n"])
def test_a_blank_draft_is_refused_again_and_its_new_text_waits(blank: str) -> None:
    (draft,) = frames(blank)
    assert plan_messages([draft], [blank], is_open=False) == [PlannedMessage((1,), draft)]
    assert results(frames(f"{blank}h"), blank) == []
    assert results(frames(f"{blank}h", "ello"), blank, None) == [((1, 2), "hello")]


def test_text_added_to_a_sent_draft_belongs_to_the_next_message() -> None:
    assert results(frames("firsts", "econd"), "first", None) == [((1, 2), "second")]


def test_text_without_a_next_draft_waits() -> None:
    assert results(frames("firsts"), "first") == []
    assert results(frames("firsts", "second"), "first", "second") == [((2,), "")]


@pytest.mark.breaks("app/chat/drafts.py", 'f"{draft.key}+{len(before)}"', "draft.key")
def test_a_second_enter_in_one_draft_is_a_second_message_even_with_the_same_text() -> None:
    first, second = (
        saying.draft
        for said, text in ((None, "ho"), ("ho", "hoho"))
        for saying in plan_messages(frames(text), [said], is_open=True)
    )
    assert first and second
    assert first.body == second.body == "ho"
    assert first.key != second.key


@given(st.text("ab", max_size=5), st.text("ab", max_size=3), st.text("ab", max_size=5))
def test_typed_since_returns_the_insertion(start: str, typed: str, end: str) -> None:
    found = typed_since(start + end, start + typed + end)
    assert len(found) == len(typed)
    assert typed_since(start, start + typed) == typed
    assert any(
        (start + end)[:at] + found + (start + end)[at:] == start + typed + end for at in range(len(start + end) + 1)
    )


@pytest.mark.parametrize(("before", "now", "typed"), [("first", "firs", ""), ("", "h", "h")])
def test_removed_text_is_no_insertion(before: str, now: str, typed: str) -> None:
    assert typed_since(before, now) == typed


def test_sent_texts_are_remembered_for_a_day_and_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.chat.drafts.MOST_NOTED", 2)
    said = SentDrafts()
    one, two, three = (Draft(f"text {number}", f"k{number}") for number in range(3))
    said.note_sent("ann", one, now=0)
    said.note_sent("ann", two, now=1)
    said.note_sent("ann", one, now=2)
    said.note_sent("ann", three, now=3)
    assert [said.sent_text("ann", draft) for draft in (one, two, three)] == [one.body, None, three.body]
    assert said.sent_text("bob", one) is None
    said.sweep(now=2 + NOTED_SECONDS)
    assert [said.sent_text("ann", draft) for draft in (one, three)] == [None, three.body]
    said.sweep(now=3 + NOTED_SECONDS)
    assert len(said) == 0


def test_a_refusal_holds_for_the_draft_as_it_was() -> None:
    said, draft = SentDrafts(), Draft("text", "k")
    said.note_refusal("ann", draft, Refused("too-fast", "That was too fast."), now=0)
    refusal = said.refusal("ann", draft)
    assert refusal and (refusal.reason, refusal.sentence) == ("too-fast", "That was too fast.")
    assert said.refusal("ann", Draft("text, mended", "k")) is None
    assert said.refusal("bob", draft) is None
    said.sweep(now=NOTED_SECONDS)
    assert said.refusal("ann", draft) is None
    assert len(said) == 0


@pytest.mark.parametrize(
    ("before", "now", "gained"),
    [
        ("first", "firsts", "s"),
        ("first", "first", ""),
        ("", "s", "s"),
        ("ab", "axb", "x"),
        ("teh", "the", ""),  # mended by a keyboard, not written
        ("first", "fir", ""),
    ],
)
def test_insertions_are_told_from_replacements(before: str, now: str, gained: str) -> None:
    assert typed_since(before, now) == gained


# What lingers


def test_unreleased_drafts_are_shared_once() -> None:
    said = SentDrafts()
    first, second = Draft("first", "a"), Draft("second", "b")
    said.note_sent("ann", first, now=0)
    said.note_sent("ann", second, now=0)
    said.release("ann", second)
    said.release("bob", first)
    assert said.lingering(now=LINGERING_SECONDS / 2) == []
    assert said.lingering(now=LINGERING_SECONDS) == [("ann", first)]
    assert said.lingering(now=LINGERING_SECONDS) == []
    said.note_sent("ann", Draft("firsts", "a"), now=9)
    assert said.lingering(now=9 + LINGERING_SECONDS) == [("ann", Draft("firsts", "a"))]


def test_forgotten_drafts_do_not_linger() -> None:
    said = SentDrafts()
    said.note_sent("ann", Draft("first", "a"), now=0)
    said.sweep(now=NOTED_SECONDS)
    assert said.lingering(now=NOTED_SECONDS) == []
