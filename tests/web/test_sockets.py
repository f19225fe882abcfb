"""The socket, by FastAPI's test client: frames in, frames out, close codes."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from app.chat.frames import MOST_DRAFTS
from app.chat.messages import Room
from app.delivery.connection import Connection
from app.delivery.hub import Audience
from app.main import create_app
from app.rooms.resuming import Resumption
from app.settings import Settings
from tests.conftest import Clock

ORIGIN = {"Origin": "http://testserver"}


class Browser:
    """The socket of a page; remembers all frames that came."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self._socket = socket
        self._passed: list[str] = []  # what came before a frame that was looked for

    def send(self, **fields: object) -> None:
        self._socket.send_text(json.dumps(fields))

    def send_raw(self, text: str) -> None:
        self._socket.send_text(text)

    def send_bytes(self, content: bytes) -> None:
        self._socket.send_bytes(content)

    def frame(self) -> BeautifulSoup:
        """Return the next frame that is not about who is here or types, nor a heartbeat."""
        while True:
            soup = BeautifulSoup(self._receive(), "html.parser")
            tops = [part.get("id") for part in soup.find_all(True, recursive=False)]
            if tops not in (["members"], ["connection"], ["typing"]):
                return soup

    def frame_with(self, selector: str) -> BeautifulSoup:
        """Return the next frame that has what `selector` selects; those before it are still to be read."""
        passed: list[str] = []
        while True:
            text = self._receive()
            soup = BeautifulSoup(text, "html.parser")
            if soup.select(selector):
                self._passed = passed + self._passed
                return soup
            passed.append(text)

    def _receive(self) -> str:
        return self._passed.pop(0) if self._passed else self._socket.receive_text()

    def close_code(self) -> int:
        with pytest.raises(WebSocketDisconnect) as closed:
            while True:
                self._socket.receive_text()
        return closed.value.code

    def resume(self, cursor: str = "") -> BeautifulSoup:
        """Resume from `cursor`, and return all that comes until the page is complete, in one soup."""
        self.send(cursor=cursor, headers={"HX-Request": "true"})
        html = ""
        while 'data-state="connected"' not in html:
            html += self._socket.receive_text()
        return BeautifulSoup(html, "html.parser")

    def say(self, text: str, key: str = "k") -> BeautifulSoup:
        """Say something and return the receipt."""
        self.send(message=text, key=key, headers={})
        return self.frame_with("[hx-swap-oob='innerHTML:#notice']")


@contextmanager
def browser(client: TestClient, slug: str = "lobby", headers: dict[str, str] = ORIGIN) -> Iterator[Browser]:
    with client.websocket_connect(f"/ws/{slug}", headers=headers) as socket:
        yield Browser(socket)


def join(client: TestClient, name: str) -> None:
    assert client.post("/name", data={"name": name}).status_code == 200


def bodies(frame: BeautifulSoup) -> list[str]:
    return [body.text for body in frame.select(".message__body")]


def notice(frame: BeautifulSoup) -> str:
    (found,) = frame.select("[hx-swap-oob='innerHTML:#notice']")
    return found.text


def cursor(frame: BeautifulSoup) -> str:
    return str(frame.select("#cursor")[-1]["value"])


# Resume


def test_an_empty_cursor_asks_for_the_newest_page(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        ann.say("hello")
    with browser(client) as ann:
        frame = ann.resume()
        assert bodies(frame) == ["hello"]
        assert frame.select_one("ol[hx-swap-oob='innerHTML:#messages']")
        assert frame.select("#before") and frame.select("#rooms") and frame.select("#members")


def test_a_cursor_is_answered_with_later_messages_once_and_in_order(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    join(other, "Bob")
    with browser(client) as ann:
        here = cursor(ann.resume())
        for text in ("one", "two", "three"):
            ann.say(text, key=text)
        ann.frame_with("#message-3")  # what is shown to all is there at once; what is about to be comes after it
    with browser(other) as bob:
        frame = bob.resume(here)
        assert bodies(frame) == ["one", "two", "three"]
        assert cursor(frame).endswith(":3")
        assert not frame.select("#before")  # what the page shows stays
    with browser(other) as bob:
        assert bodies(bob.resume(cursor(frame))) == []


def test_the_first_missed_message_is_grouped_with_the_last_one_shown(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        here = cursor((ann.say("one", "1"), ann.frame_with("#cursor"))[1])
        ann.say("two", "2")
    with browser(client) as ann:
        (message,) = ann.resume(here).select(".message")
        assert "message--continuation" in message["class"]


def test_a_cursor_of_another_log_brings_the_newest_page_instead(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        ann.say("hello")
    for foreign in ("another:1", "another:999", "epoch:with:colons:1"):
        with browser(client) as ann:
            frame = ann.resume(foreign)
            assert bodies(frame) == ["hello"]
            assert frame.select("ol[hx-swap-oob='innerHTML:#messages']")


def test_a_cursor_ahead_of_the_log_brings_the_newest_page_instead(client: TestClient) -> None:
    with browser(client) as somebody:
        epoch = cursor(somebody.resume()).partition(":")[0]
    with browser(client) as somebody:
        assert somebody.resume(f"{epoch}:7").select("ol[hx-swap-oob='innerHTML:#messages']")


def test_more_than_the_limit_leaves_a_labelled_gap(settings: Settings) -> None:
    small = settings.model_copy(update={"resume_limit": 4, "page_size": 3, "messages_burst": 100})
    with TestClient(create_app(small, Clock())) as client:
        join(client, "Ann")
        with browser(client) as ann:
            here = cursor(ann.resume())
            for number in range(1, 11):
                ann.say(f"message {number}", key=str(number))
        with browser(client) as ann:
            frame = ann.resume(here)
            assert bodies(frame) == ["message 8", "message 9", "message 10"]
            (button,) = frame.select(".gap button")
            assert (button["value"], button.text) == ("0-8", "Load 7 missed messages")
            assert frame.select("ol[hx-swap-oob='beforeend:#messages']")


def test_a_long_backlog_comes_in_several_frames(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.rooms.delivering.FRAME_MESSAGES", 3)
    monkeypatch.setattr("app.rooms.resuming.FRAME_MESSAGES", 3)
    many = settings.model_copy(update={"messages_burst": 100})
    with TestClient(create_app(many, Clock())) as client:
        join(client, "Ann")
        with browser(client) as ann:
            here = cursor(ann.resume())
            for number in range(1, 9):
                ann.say(f"message {number}", key=str(number))
        with browser(client) as ann:
            frame = ann.resume(here)
            assert bodies(frame) == [f"message {number}" for number in range(1, 9)]
            assert len(frame.select("#cursor")) > 2


def test_nothing_live_comes_before_the_resume(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann, browser(other) as reader:
        ann.resume()
        ann.say("hello")
        ann.frame_with("#message-1")
        assert bodies(reader.resume()) == ["hello"]
        ann.say("again", key="2")
        assert bodies(reader.frame()) == ["again"]


# Say


def test_a_message_comes_to_everybody_with_the_cursor_that_includes_it(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann, browser(other) as reader:
        before = cursor(ann.resume())
        reader.resume()
        ann.say("hello")
        mine, theirs = ann.frame_with("#message-1"), reader.frame()
        assert str(mine) == str(theirs)
        assert cursor(mine) == before.replace(":0", ":1")


def test_the_receipt_goes_to_the_sender_alone(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann, browser(other) as reader:
        ann.resume()
        reader.resume()
        receipt = ann.say("hello", key="the-key")
        assert "the-key" in str(receipt.select("[hx-swap-oob^=delete]"))
        assert receipt.select("input[name=key]")[0]["value"] != "the-key"
        assert bodies(reader.frame()) == ["hello"]


def test_messages_may_come_before_the_resume(client: TestClient) -> None:
    """What was queued offline is flushed before the page says where it is."""
    join(client, "Ann")
    with browser(client) as ann:
        assert notice(ann.say("typed offline")) == ""
        # With the page, or right after it where it was not shown to anybody yet.
        assert (bodies(ann.resume()) or bodies(ann.frame_with("#message-1"))) == ["typed offline"]


def test_drafts_without_a_receipt_come_along_with_the_cursor(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.send(message="first", key="a")
        ann.send(cursor="", message=["first", "second"], key=["a", "b"])
        ann.frame_with("#message-2")
    assert bodies(BeautifulSoup(client.get("/").text, "html.parser")) == ["first", "second"]


def test_the_same_submission_is_one_message_however_often_it_comes(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann, browser(client) as second_tab:
        ann.resume()
        for _ in range(5):
            ann.say("hello")
            second_tab.say("hello")
        client.post("/rooms/lobby/messages", data={"message": "hello", "key": "k"})
        ann.say("the end", key="other")
    assert bodies(BeautifulSoup(client.get("/").text, "html.parser")) == ["hello", "the end"]


def test_the_same_words_under_another_key_are_another_message(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.send(message=["ha", "ha", "ha"], key=["k1", "k2", "k1", "k3"])
        ann.frame_with("[hx-swap-oob='innerHTML:#notice']")
    assert bodies(BeautifulSoup(client.get("/").text, "html.parser")) == ["ha", "ha"]


def test_an_empty_draft_beside_others_is_let_go_without_a_word(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.send(message=["hello", "  "], key=["a", "b"])
        receipt = ann.frame()
        assert notice(receipt) == ""
        assert {part["value"] for part in receipt.select("input[name=key]")}.isdisjoint({"a", "b"})
        assert len(receipt.select("input[name=key]")) == 2


@pytest.mark.breaks("app/rooms/posting.py", "released = [] if is_open else done", "released = done")
def test_an_open_draft_stays_until_it_has_come_again(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        ann.send(message="hello", key="a", open="yes")
        receipt = ann.frame_with("[hx-swap-oob='innerHTML:#notice']")
        assert notice(receipt) == ""
        assert not receipt.select("[hx-swap-oob^=delete]")
        assert ann.say("hello", "a").select("[hx-swap-oob^=delete]")
    assert bodies(BeautifulSoup(client.get("/").text, "html.parser")) == ["hello"]


@pytest.mark.breaks("app/rooms/posting.py", "self._sent.note_sent(author, draft, self._now())", "pass")
def test_text_typed_after_enter_joins_the_next_message_after_a_break(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        ann.send(message="first", key="a", open="yes")
        ann.frame_with("#message-1")
    for _ in range(2):  # whoever did not get the receipt asks again
        with browser(client) as ann:
            ann.send(cursor="", message=["firsts", "econd"], key=["a", "b"])
            receipt = ann.frame_with("[hx-swap-oob='innerHTML:#notice']")
            assert len(receipt.select("input[name=key]")) == 2
    assert bodies(BeautifulSoup(client.get("/").text, "html.parser")) == ["first", "second"]


def test_text_for_a_refused_message_stays(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.send(message="first", key="a", open="yes")
        ann.frame_with("[hx-swap-oob='innerHTML:#notice']")
        ann.send(message=["firsts", "o" * 4_000], key=["a", "b"])
        receipt = ann.frame_with("[hx-swap-oob='innerHTML:#notice']")
        assert "4,001 characters" in notice(receipt)
        assert not receipt.select("[hx-swap-oob^=delete]")
        ann.send(message=["firsts", "econd"], key=["a", "b"])
        ann.frame_with("[hx-swap-oob^=delete]")
    assert bodies(BeautifulSoup(client.get("/").text, "html.parser")) == ["first", "second"]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ("hello", "JSON"),
        ("{", "JSON"),
        ("[1, 2]", "JSON object"),
        ("null", "JSON object"),
        ("{}", "neither a message nor a cursor"),
        ('{"user": "Eve", "text": "hi"}', "neither a message nor a cursor"),
        ('{"message": "hello"}', "needs a key"),
        ('{"message": 7, "key": "k"}', "with strings"),
        ('{"message": "hello", "key": "\\""}', "needs a key"),
        ('{"message": ["", "hello"], "key": "k"}', "Send the rest again"),
        ('{"cursor": "nonsense"}', "epoch:position"),
        ('{"cursor": 7}', "with strings"),
        ('{"message": "  ", "key": "k"}', "Write something"),
        (json.dumps({"message": "x" * 4001, "key": "k"}), "4,001 characters"),
        ("[" * 50_000, "with strings"),
        ('{"changes": "nonsense"}', "epoch:position"),
        ('{"changes": ["00000000:1", "x"]}', "epoch:position"),
        ('{"changes": 7}', "with strings"),
        ('{"delete": "yes"}', "position of a message"),
        ('{"pick": "x", "delete": "yes"}', "position of a message"),
        ('{"pick": "9223372036854775808", "delete": "yes"}', "position of a message"),
        ('{"pick": "٣", "delete": "yes"}', "position of a message"),
        ('{"react": "x 👍"}', "position of a message"),
        ('{"pick": "1", "edit": "a", "delete": "yes"}', "one change"),
        ('{"pick": "1", "react": ["👍", "🎉"]}', "with strings"),
        ('{"editor": "yes"}', "position of a message"),
        ('"' + "x" * 400_000 + '"', "too large"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_malformed_frame_is_reported_to_its_sender_alone(
    client: TestClient, other: TestClient, raw: str, sentence: str
) -> None:
    join(client, "Ann")
    with browser(client) as ann, browser(other) as reader:
        ann.resume()
        reader.resume()
        ann.send_raw(raw)
        assert sentence in notice(ann.frame())
        ann.say("still here", key="next")
        assert bodies(reader.frame()) == ["still here"]


def content(frame: BeautifulSoup, position: int = 1) -> str:
    (found,) = frame.select(f"#content-{position}")
    return found.text


def test_a_change_is_shown_to_everybody_and_lets_go_of_the_message(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann, browser(other) as reader:
        ann.resume()
        ann.say("helo")
        reader.resume()
        ann.send(pick="1", edit="hello")
        assert content(reader.frame_with("#content-1")).startswith("helloedited")
        done = ann.frame_with("#pick-none")
        assert done.select("[hx-swap-oob='innerHTML:#editing']")
        assert notice(done) == ""
        ann.send(react="1 👍")
        frame = reader.frame_with("#content-1")
        assert frame.select(".reaction__react")[0].text == "👍 1"
        assert str(frame.select("#cursor")[0]["value"]).endswith(":3")
        ann.send(pick="1", delete="yes")
        assert content(reader.frame_with("#content-1")) == "This message was deleted."
        # Nothing changes: nobody is told, and the next frame is another message's.
        ann.send(pick="1", delete="yes")
        ann.say("the next one", "k2")
        assert bodies(reader.frame()) == ["the next one"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pick": "1", "edit": "mine now"}, "only your own"),
        ({"pick": "1", "delete": "yes"}, "only your own"),
        ({"pick": "1", "editor": "yes"}, "only your own"),
        ({"pick": "7", "delete": "yes"}, "does not exist"),
        ({"pick": "1", "react": "<b>"}, "no emoji"),
        ({"pick": "1", "edit": " "}, "Write something"),
        ({"editor": "last"}, "no message of yours"),
    ],
)
def test_a_refused_change_is_reported_to_its_sender_alone(
    client: TestClient, other: TestClient, fields: dict[str, str], sentence: str
) -> None:
    join(client, "Ann")
    join(other, "Bob")
    with browser(client) as ann, browser(other) as bob:
        ann.resume()
        ann.say("hers")
        bob.resume()
        bob.send(**fields)
        assert sentence in notice(bob.frame_with("[hx-swap-oob='innerHTML:#notice']:not(:empty)"))
        bob.say("still here", "k2")
        ann.frame_with("#message-2")
    assert bodies(BeautifulSoup(client.get("/").text, "html.parser")) == ["hers", "still here"]


def test_visitors_without_a_name_are_told_where_to_choose_one(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann, browser(other) as nobody:
        ann.say("hello")
        nobody.resume()
        nobody.send(react="1 👍")
        assert "Choose a name" in notice(nobody.frame_with("[hx-swap-oob='innerHTML:#notice']:not(:empty)"))


@pytest.mark.breaks("app/rooms/changing.py", "await self._limits.message(member, address, body)", "pass")
def test_changes_are_limited_as_messages_are(settings: Settings) -> None:
    slow = settings.model_copy(update={"messages_burst": 2, "messages_per_second": 0.001})
    with TestClient(create_app(slow, Clock())) as client:
        join(client, "Ann")
        with browser(client) as ann:
            ann.say("hello")
            ann.send(react="1 👍")
            ann.frame_with("#pick-none")
            ann.send(react="1 🎉")
            assert "too fast" in notice(ann.frame_with("[hx-swap-oob='innerHTML:#notice']:not(:empty)"))


def test_a_text_to_be_edited_comes_to_one_alone(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        ann.say("one", "k1")
        ann.say("two", "k2")
        for fields, text in (({"editor": "last"}, "two"), ({"pick": "1", "editor": "yes"}, "one")):
            ann.send(**fields)
            editor = ann.frame_with("[hx-swap-oob='innerHTML:#editing']")
            assert editor.select("textarea")[0].text.strip() == text


@pytest.mark.breaks("app/rooms/resuming.py", "elif since:", "elif False:")
def draft_line(browser: Browser, text: str) -> str:
    """Return what is said to whoever writes `text`."""
    browser.send(typing="yes", message=text)
    (line,) = browser.frame_with("[hx-swap-oob*=draft__mentions]").select("[hx-swap-oob]")
    return line.text.strip()


def test_writers_are_told_about_the_mentions_of_a_draft(client: TestClient, other: TestClient) -> None:
    join(client, "Ann Lee")
    join(other, "Bob")
    with browser(client) as ann, browser(other) as bob:
        bob.resume()  # and says nothing: it is enough to be there
        ann.resume()
        assert draft_line(ann, "hello @bo and @ann le") == "Mentions Bob, Ann Lee."
        assert draft_line(ann, "hello") == ""
        assert draft_line(ann, "@Zoe, @room") == "Mentions everybody. Nobody here is called @Zoe."
        ann.say("hello @bo")
        (body,) = bob.frame_with(".message__body").select(".message__body")
        assert str(body["data-for"]) == str(body.select(".mention")[0]["data-for"]) != ""
        assert body.text == "hello @Bob"


def test_a_name_that_several_begin_with_is_no_mention(client: TestClient, other: TestClient) -> None:
    join(client, "Anna")
    join(other, "Anton")
    with browser(client) as anna, browser(other) as anton:
        anton.resume()
        anna.resume()
        assert draft_line(anna, "@an") == "@an: Anna, Anton? Write more of the name."
        anna.say("@an")
        assert not anton.frame_with(".message__body").select(".mention, [data-for]")


@pytest.mark.breaks("app/rooms/changing.py", 'isinstance(change, Edit) and "@" in body', "False")
def test_an_edit_resolves_mentions_again(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        ann.say("hello")
        ann.send(pick="1", edit="hello @ann")
        assert ann.frame_with("#content-1 .message__edited").select(".mention")[0].text == "@Ann"
        ann.send(pick="1", edit="hello ann")
        assert not ann.frame_with("#content-1 .message__edited").select(".mention")


@pytest.mark.breaks("app/rooms/posting.py", "if await self._store.is_stored(", "if not await self._store.is_stored(")
@pytest.mark.breaks("app/rooms/mentioning.py", "and not mentions_everybody(before)", "")
def test_everybody_is_mentioned_only_so_often(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        for number in range(2):
            assert notice(ann.say(f"@room {number}", f"k{number}")) == ""
        assert "You mentioned everybody a short while ago. Wait 15 minutes" in notice(ann.say("@room 2", "k2"))
        # One that is stored is not refused when it comes again, nor is an edit of it.
        assert notice(ann.say("@room 1", "k1")) == ""
        ann.send(pick="1", edit="@room, sorry")
        assert ann.frame_with("#content-1 .message__edited").select(".mention")
        assert notice(ann.say("@ann", "k3")) == ""


def test_typing_is_shown_until_the_message_arrives(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    join(other, "Bob")
    with browser(client) as ann, browser(other) as bob:
        ann.resume()
        bob.resume()
        ann.send(typing="yes")
        assert bob.frame_with("#typing span").select("#typing")[0].text == "Ann is typing…"
        ann.say("hello")
        bob.frame_with("#message-1")
        assert bob.frame_with("#typing").select("#typing")[0].text == ""
        ann.send(typing="yes", message="more")
        bob.frame_with("#typing span")
        ann.send(typing="yes", message="")  # removed
        assert not bob.frame_with("#typing").select("#typing span")


def test_typing_without_a_name_is_refused(client: TestClient) -> None:
    with browser(client) as nobody:
        nobody.resume()
        nobody.send(typing="yes", message="@Ann")
        assert "Choose a name" in notice(nobody.frame())


def test_pending_rechecks_are_sent_again_on_resume(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        cursor = ann.resume().select("#cursor")[0]["value"]
        ann.say("helo")
        ann.send(pick="1", edit="hello")
        ann.frame_with("#content-1")
        ann.frame_with("#pick-none")
        epoch = str(cursor).split(":")[0]
        # Older messages have come by HTTP as they were at position 1; the page is complete up to 2.
        ann.send(changes=f"{epoch}:1")
        assert content(ann.frame_with("#content-1")).startswith("hello")
        (answered,) = ann.frame_with("[hx-swap-oob^='delete target:']").select("i")
        assert f'[value="{epoch}:1"]' in answered["hx-swap-oob"]
    with browser(client) as ann:
        ann.send(cursor=f"{epoch}:2", changes=[f"{epoch}:2", f"{epoch}:1"])
        assert content(ann.frame_with("#content-1")).startswith("hello")
    with browser(client) as ann:  # one that did not resume yet has it answered as well
        ann.send(changes=f"{epoch}:1")
        assert content(ann.frame_with("#content-1")).startswith("hello")
        ann.send(changes="00000000:1")
        ann.resume()


def test_bytes_are_not_a_frame(client: TestClient) -> None:
    with browser(client) as somebody:
        somebody.send_bytes(b'{"message": "hello", "key": "k"}')
        assert "not binary" in notice(somebody.frame())


def test_nobody_without_a_name_can_write(client: TestClient) -> None:
    with browser(client) as nobody:
        nobody.resume()
        receipt = nobody.say("hello")
        assert "Choose a name" in notice(receipt)
        assert not receipt.select("[hx-swap-oob^=delete]")
    assert "hello" not in client.get("/").text


def test_a_name_in_a_frame_is_ignored(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        ann.send(message="hello", key="k", name="Eve", user="Eve", author="Eve")
        (author,) = ann.frame_with(".message__author").select(".message__author")
        assert author.text == "Ann"


def test_a_too_fast_writer_keeps_the_text_and_others_notice_nothing(settings: Settings) -> None:
    slow = settings.model_copy(update={"messages_burst": 1, "messages_per_second": 0.001})
    app = create_app(slow, Clock())
    with TestClient(app) as client:
        other = TestClient(app)
        other.portal = client.portal
        join(client, "Ann")
        join(other, "Bob")
        with browser(client) as ann, browser(other) as bob:
            bob.resume()
            assert notice(ann.say("one", "1")) == ""
            receipt = ann.say("two", "2")
            assert "too fast" in notice(receipt)
            assert receipt.select("output")[0].text == "Not sent"
            assert bodies(bob.frame()) == ["one"]
            assert notice(bob.say("me too", "1")) == ""


def test_frames_that_come_too_fast_are_read_later_and_none_is_lost(settings: Settings) -> None:
    slow = settings.model_copy(update={"frames_burst": 3, "frames_per_second": 5, "messages_burst": 100})
    with TestClient(create_app(slow, Clock())) as client:
        join(client, "Ann")
        with browser(client) as ann:
            for number in range(10):
                ann.send(message=f"message {number}", key=f"k{number}")
            ann.resume()
            assert 'parlor_refused_total{reason="paced"}' in client.get("/metrics").text
        assert len(bodies(BeautifulSoup(client.get("/").text, "html.parser"))) == 10


@pytest.mark.breaks("app/web/sockets.py", "if isinstance(frame, Say | Resume) and frame.left_out:", "if False:")
@pytest.mark.breaks("app/chat/frames.py", "max(0, len(fields.message) - MOST_DRAFTS)", "0")
@pytest.mark.parametrize("cursor", [{}, {"cursor": ""}], ids=["said", "with a cursor"])
def test_too_many_drafts_at_once_are_reported(settings: Settings, cursor: dict[str, str]) -> None:
    patient = settings.model_copy(update={"messages_burst": 100})
    with TestClient(create_app(patient, Clock())) as client:
        join(client, "Ann")
        many = [str(number) for number in range(MOST_DRAFTS + 1)]
        with browser(client) as ann:
            ann.send(message=many, key=many, **cursor)
            assert "first 50 messages were read. Send the rest again." in notice(ann.frame())
            assert 'parlor_refused_total{reason="too-many-drafts"} 1.0' in client.get("/metrics").text
            ann.send(message=many[:MOST_DRAFTS], key=many[:MOST_DRAFTS])
            while not (receipt := ann.frame()).select("[hx-swap-oob^=delete]"):
                pass
            assert "Send the rest again" not in notice(receipt)
        assert "parlor_messages_total 50.0" in client.get("/metrics").text


def test_a_store_that_fails_is_said_and_the_text_kept(client: TestClient, broken_store: Callable[[], None]) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        broken_store()
        receipt = ann.say("hello")
        assert "cannot store" in notice(receipt)
        assert not receipt.select("[hx-swap-oob^=delete]")


@pytest.mark.breaks("app/rooms/posting.py", "raise refused_before", "pass")
def test_a_draft_refused_while_open_is_not_retried_by_itself(client: TestClient) -> None:
    """An open draft comes again on its own: to try it once more is for the one who wrote it."""
    join(client, "Ann")
    with browser(client) as ann:
        ann.send(message="x" * 4001, key="k", open="yes")
        first = ann.frame()
        ann.send(message="x" * 4001, key="k")
        second = ann.frame()
        assert "too long" in notice(first) and str(first) == str(second)
        assert 'parlor_refused_total{reason="too-long"} 1.0' in client.get("/metrics").text
        ann.send(message="x" * 4000, key="k", open="yes")
        assert notice(ann.frame_with("[hx-swap-oob='innerHTML:#notice']")) == ""


@pytest.mark.parametrize("others", [True, False], ids=["with others there", "alone"])
def test_an_unavailable_store_is_reported_and_the_page_retries(
    client: TestClient, broken_store: Callable[[], None], others: bool
) -> None:
    """Others there: the room is open, and only the resume of a page that is ahead of them needs the store."""
    ahead = ""
    if others:
        with browser(client) as somebody:
            first = somebody.resume()
            # What was said about it goes when the page is complete.
            assert first.select("[hx-swap-oob=\"delete target:'#notice > .notice__passing'\"]")
            ahead = f"{cursor(first).partition(':')[0]}:1"
    broken_store()
    with browser(client) as somebody:
        somebody.send(cursor=ahead)
        (passing,) = somebody.frame().select("[hx-swap-oob='innerHTML:#notice'] > .notice__passing")
        assert "Retrying" in passing.text
        assert somebody.close_code() == 1013


@pytest.mark.breaks(
    "app/rooms/creating.py", "                    connection.cut(OUTDATED)\n", "                    pass\n"
)
def test_renaming_closes_open_sockets_and_the_new_cookie_works(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    other.cookies = client.cookies.__class__(client.cookies)
    with browser(client) as ann, browser(other) as copied:
        ann.resume()
        copied.resume()
        join(client, "Anna")
        assert ann.close_code() == copied.close_code() == 1012  # come back
    with browser(client) as anna, browser(other) as copied:
        assert "Your session in this browser has ended" in str(copied.resume())
        assert "Choose a name" in str(copied.say("as Anna"))
        anna.resume()
        anna.say("as Anna", "2")
        (author,) = anna.frame_with("#message-1").select(".message__author")
        assert author.text == "Anna"


def test_signing_out_closes_open_sockets_with_a_notice(client: TestClient) -> None:
    join(client, "Ann")
    with browser(client) as ann:
        ann.resume()
        client.post("/sign-out")
        notice = ann.frame_with("[hx-swap-oob='innerHTML:#notice']")
        assert "You signed out" in notice.text and notice.select("a[href='/rooms/lobby']")
        assert ann.close_code() == 1012
    with browser(client) as nobody:
        nobody.resume()
        assert "Choose a name" in str(nobody.say("as Ann"))


@pytest.mark.breaks("app/web/sockets.py", "elif connection.member and not await", "elif False and not await")
def test_a_session_that_ends_while_its_socket_is_let_in_does_not_go_on(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(client, "Ann")
    enter = Resumption.enter

    async def enter_late(self: Resumption, room: Room, connection: Connection) -> Audience:
        assert connection.member
        await self._store.sign_out(connection.member)  # noticed by nobody yet: this socket is not among the open ones
        await asyncio.sleep(0.05)
        return await enter(self, room, connection)

    monkeypatch.setattr(Resumption, "enter", enter_late)
    with browser(client) as ann:
        assert ann.close_code() == 1012


def test_a_handshake_without_https_is_none_of_a_site_with_it(client: TestClient) -> None:
    secure = TestClient(client.app, base_url="https://testserver")
    secure.portal = client.portal
    with pytest.raises(WebSocketDenialResponse), secure.websocket_connect("wss://testserver/ws", headers=ORIGIN):
        pass
    with secure.websocket_connect("wss://testserver/ws", headers={"Origin": "https://testserver"}):
        pass


# Who is here, and where


def test_arrivals_and_departures_are_shown(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    join(other, "Bob")
    with browser(client) as ann:
        assert [name.text for name in ann.resume().select("#members bdi")] == ["Ann"]
        with browser(other) as bob:
            bob.resume()
            there = ann.frame_with("#members [data-member] ~ [data-member]")
            assert [name.text for name in there.select("bdi")] == ["Ann", "Bob"]
        gone = ann.frame_with("#members")
        while len(gone.select("bdi")) > 1:
            gone = ann.frame_with("#members")
        assert [name.text for name in gone.select("bdi")] == ["Ann"]


def test_a_new_room_appears_in_every_list(client: TestClient, other: TestClient) -> None:
    join(other, "Bob")
    with browser(client) as reader:
        reader.resume()
        other.post("/rooms", data={"name": "Watercooler"})
        (link,) = reader.frame().select("[hx-swap-oob='beforeend:#rooms'] a")
        assert (link["href"], link.text) == ("/rooms/watercooler", "Watercooler")


def test_rooms_do_not_hear_each_other(client: TestClient, other: TestClient) -> None:
    join(client, "Ann")
    client.post("/rooms", data={"name": "Watercooler"})
    with browser(client) as in_lobby, browser(other, "watercooler") as elsewhere:
        in_lobby.resume()
        elsewhere.resume()
        in_lobby.say("in the lobby")
        with browser(client, "watercooler") as there:
            there.say("at the watercooler")
        assert bodies(elsewhere.frame()) == ["at the watercooler"]


def test_the_short_address_is_the_lobbys(client: TestClient) -> None:
    with client.websocket_connect("/ws", headers=ORIGIN) as socket:
        assert Browser(socket).resume().select("#rooms [aria-current]")[0].text == "Lobby"


# Turned away


def test_an_unknown_room_says_so_and_closes_for_good(client: TestClient) -> None:
    with browser(client, "nowhere") as somebody:
        assert "does not exist" in notice(somebody.frame())
        assert somebody.close_code() == 1008


@pytest.mark.parametrize("address", ["/", "/ws/", "/ws/lobby/more", "/wss", "/rooms/lobby"])
def test_a_socket_to_another_address_is_not_opened(client: TestClient, address: str) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(address, headers=ORIGIN):
        pass


def test_sockets_per_address_are_limited(settings: Settings) -> None:
    few = settings.model_copy(update={"connections_per_address": 2})
    with TestClient(create_app(few, Clock())) as client:
        with browser(client) as first, browser(client):
            with browser(client) as third:
                assert "Too many" in notice(third.frame())
                assert third.close_code() == 1013
            assert first.resume()
        with browser(client) as again:
            assert again.resume()


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://testserver.evil.test", "http://testserver:81"])
def test_a_handshake_from_elsewhere_is_refused(client: TestClient, origin: str) -> None:
    with pytest.raises(WebSocketDenialResponse) as refused, browser(client, headers={"Origin": origin}):
        pass
    assert refused.value.status_code == 403
