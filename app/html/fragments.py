"""Every piece of HTML we send.

Nothing here depends on who looks at it, except by the time zone: a frame is rendered once and its bytes go to
everybody. What differs from person to person ("mine") is one CSS rule in the page's own style.
"""

from collections.abc import Callable, Hashable, Sequence, Set
from contextlib import suppress
from typing import Any

from cachetools import LRUCache
from markupsafe import Markup, escape

from app.chat import emojis, links
from app.chat.mentions import Meant
from app.chat.messages import EVERYBODY, Cursor, Member, Message, Quote, Room
from app.chat.search import LONGEST_QUERY
from app.chat.timeline import MOST_COUNTED, Entry, Gap, Page
from app.chat.typing_members import MOST_NAMED
from app.html.filters import FILTERS, zone_options
from app.html.templates import Templates
from app.html.views import Place, RoomView, SearchView
from app.settings import Settings

KEPT_CHARACTERS = 4_000_000  # of messages and pages: about 7,000 messages
MACROS = {
    "chat": "partials/chat.html",
    "draft": "partials/draft.html",
    "quoted": "partials/quoted.html",
}  # that stand in several templates
# Stands for a nonce that is not known yet. No user's text can look like this, because it is escaped.
HOLE = Markup("<nonce>")
KEY_HOLE, FRESH_HOLE = Markup("<key>"), Markup("<fresh>")  # and such for the keys of a draft: of this one, of the next
ARTICLE = ' role="article"'  # in the tag of a message
NAMES_SHOWN = 20  # most names under a reaction; the rest is a count


class Fragments:
    """Renders fragments, and caches up to `kept_characters` of rendered messages."""

    def __init__(self, settings: Settings, assets: str, kept_characters: int = KEPT_CHARACTERS) -> None:
        names = {
            "settings": settings,
            "assets": assets,
            "zone_options": zone_options(),
            "names_shown": NAMES_SHOWN,
            "most_counted": MOST_COUNTED,
            "quick_emoji": emojis.QUICK,
            "everybody": EVERYBODY,
            "longest_query": LONGEST_QUERY,
            "most_typing": MOST_NAMED,
        }
        self._templates = Templates(FILTERS, names, MACROS)
        self._content: Callable[[Message, str, str], Markup] = self._templates.macro("partials/content.html", "content")
        self._message: Callable[[Entry, str, str, Markup], Markup] = self._templates.macro(
            "partials/message.html", "message"
        )
        # A page of 50 messages takes 0.6 ms because its messages are rendered already: docs/performance.md, "A page".
        self._cache: LRUCache[Hashable, Markup] = LRUCache(kept_characters, getsizeof=len)
        # Receipts of one stored draft, by its number: rendering each took 14 % of the time of a stored message.
        self._receipts: dict[int, str] = {}

    # Pages

    def room(self, view: RoomView) -> str:
        """Return a room's whole page."""
        entered = {name: _sendable(text) for name, text in view.entered.items()}
        messages = self._page(view.page, view.zone, view.room)
        return self._render("room.html", **{**vars(view), "entered": entered, "messages": messages})

    def search(self, view: SearchView) -> str:
        """Return the search page."""
        return self._render("search.html", **vars(view))

    def results(self, view: SearchView) -> str:
        """Return what stands on the search page below the query."""
        return self._render("partials/results.html", **vars(view))

    def error(self, status: int, title: str, sentence: str, nonce: str) -> str:
        """Return an error page, with a way back."""
        return self._render("error.html", status=status, title=title, sentence=sentence, nonce=nonce)

    # Answers over HTTP

    def older(self, room: Room, page: Page, cursor: Cursor, zone: str, nonce: str) -> str:
        """Return older messages, and the loader of those before them. They are as they were at the `cursor`."""
        messages = self._page(page, zone, room)
        return self._render(
            "partials/older_page.html", room=room, page=page, messages=messages, cursor=cursor, nonce=nonce
        )

    def filled(
        self, room: Room, gap: Gap, remaining: Gap | None, page: Page, cursor: Cursor, zone: str, nonce: str
    ) -> str:
        """Return the messages of `gap` on `page`, and the gap that remains. They are as they were at the `cursor`."""
        messages = _unannounced(self._messages(page.entries, zone, room))
        values = {"gap": gap, "remaining": remaining, "messages": messages, "cursor": cursor, "nonce": nonce}
        return self._render("partials/filled_gap.html", **values)

    def emoji(self, found: Sequence[tuple[str, str]]) -> str:
        """Return the emoji that were found, each with its name, to choose one."""
        return self._render("partials/emoji.html", found=found)

    # Frames to everybody in a room

    def changes(
        self,
        room: Room,
        entries: Sequence[Entry],
        cursor: Cursor,
        zone: str,
        changed: Sequence[Message] = (),
        gap: Gap | None = None,
        is_announced: bool = True,
    ) -> str:
        """Return a frame with messages that `changed`, and new `entries` at the end (after `gap`).

        It brings the cursor that includes all of it. Screen readers read new messages out, unless they are many
        (`is_announced` is false): `missed` says how many.
        """
        messages = self._messages(entries, zone, room)
        messages = messages if is_announced else _unannounced(messages)
        contents = self._contents(changed, zone, room)
        values = {"changed": contents, "messages": messages, "cursor": cursor, "gap": gap}
        return self._render("partials/frames/changes.html", **values)

    def changed(self, room: Room, messages: Sequence[Message], zone: str) -> str:
        """Return a frame with `messages` that changed, for a page that may have them."""
        return self._render("partials/frames/changed.html", changed=self._contents(messages, zone, room))

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

    def typing(self, typing: Sequence[tuple[Member, int]]) -> str:
        """Return a frame that shows who is typing, and how many seconds ago each last did."""
        return self._render("partials/frames/typing.html", typing=typing)

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
        messages = _unannounced(self._page(page, zone, room))
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

    def rechecked(self, since: Cursor) -> str:
        """Return a frame that says that a page was sent what had changed `since` then."""
        return self._render("partials/frames/rechecked.html", since=since)

    def let_go(self, from_editor: bool = False, from_question: bool = False) -> str:
        """Return a frame that lets go of a message with which something was done, and closes where it was asked for."""
        return self._render("partials/frames/let_go.html", from_editor=from_editor, from_question=from_question)

    def reply(self, quote: Quote, room: Room) -> str:
        """Return a frame that makes the draft that is being written a reply."""
        return self._render("partials/frames/reply.html", quote=quote, room=room.slug)

    def meant(self, meant: Sequence[Meant]) -> str:
        """Return a frame that says whom the draft mentions that is being written."""
        return self._render("partials/frames/meant.html", meant=meant)

    def editor(self, message: Message, zone: str) -> str:
        """Return a frame with the text of `message`, to be edited."""
        return self._render("partials/frames/editor.html", message=message, zone=zone)

    def notice(self, sentence: str, passes: bool = False, join: Room | None = None) -> str:
        """Return a frame with a notice for this browser; one that `passes` goes when the page is complete.

        `join` is the room where a name can be chosen.
        """
        return self._render("partials/frames/notice.html", notice=sentence, join=join, passes=passes)

    # Shared parts

    def _page(self, page: Page, zone: str, room: Room) -> Markup:
        """Return the messages of `page`, cached: it is the same object until somebody writes."""
        key = (page, zone)
        return self._cache.get(key) or self._keep(key, self._messages(page.entries, zone, room))

    def _messages(self, entries: Sequence[Entry], zone: str, room: Room) -> Markup:
        return Markup("".join([self._entry(entry, zone, room) for entry in entries]))  # noqa: S704 - each is HTML

    def _entry(self, entry: Entry, zone: str, room: Room) -> Markup:
        # A page reuses what was rendered for a frame: an equal entry looks the same everywhere in a room.
        key = (entry, zone, room.id)
        known = self._cache.get(key)
        if known is None:
            content = self._content(entry.message, zone, room.slug)
            known = self._keep(key, self._message(entry, zone, room.slug, content))
        return known

    def _contents(self, messages: Sequence[Message], zone: str, room: Room) -> list[tuple[Message, Markup]]:
        """Return what can change in each of `messages`, cached: asking for it again costs nothing."""
        contents = []
        for message in messages:
            key = (message, zone, room.id)
            content = self._cache.get(key) or self._keep(key, self._content(message, zone, room.slug))
            contents.append((message, content))
        return contents

    def forget(self, room_id: int, positions: Set[int]) -> None:
        """Forget how messages of a room looked that were deleted, those that quote them, and every page."""

        def is_kept(message: Message, room: int) -> bool:
            quoted = message.reply.position if message.reply else 0
            return room != room_id or positions.isdisjoint({message.position, quoted})

        self._forget_unless(is_kept)

    def forget_rooms(self, room_ids: Set[int]) -> None:
        """Forget how messages of these rooms looked, and every page."""
        self._forget_unless(lambda message, room: room not in room_ids)

    def _forget_unless(self, is_kept: Callable[[Message, int], bool]) -> None:
        for key in list(self._cache):
            match key:
                case (Entry(message) | (Message() as message), _, int(room)) if is_kept(message, room):
                    pass
                case _:
                    del self._cache[key]
        links.forget()

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
