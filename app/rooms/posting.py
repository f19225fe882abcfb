"""Posting: drafts become messages, each once, and one receipt tells the sender what became of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from secrets import token_urlsafe

import structlog

from app.chat.characters import is_blank
from app.chat.drafts import SentDrafts, plan_messages
from app.chat.messages import Draft, Member, Refused, Room, clean
from app.chat.quotes import quote
from app.cluster.drafts import SharedDrafts
from app.delivery.connection import Connection
from app.delivery.hub import Audience
from app.html.fragments import Fragments
from app.html.views import Place
from app.metrics import Metrics
from app.rooms.limiting import RateLimits
from app.rooms.mentioning import Mentioning
from app.settings import Settings
from app.store.errors import StoreUnavailable
from app.store.store import Store

log = structlog.get_logger("parlor.rooms")

KEY_LENGTH = 8  # characters of an idempotency key, of 6 bits each
KEYS_DRAWN = 512  # at once
BLANK_NOTED = 20  # characters of a blank draft that is remembered: an Enter too early, and not a flood

# Made anew for each refusal: an exception that is kept keeps every frame that it ever passed through.
NAMELESS = partial(Refused, "no-name", "Choose a name first, then you can write.")
KEYLESS = partial(Refused, "no-key", "You sent a lot at once. Send the rest again.")
UNSTORED = partial(
    Refused, "unavailable", "The server cannot store anything right now. Nothing is lost: send it again."
)


class Posting:
    """Stores drafts. One per process; `shared` is None in a single process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        fragments: Fragments,
        metrics: Metrics,
        limits: RateLimits,
        mentioning: Mentioning,
        shared: SharedDrafts | None,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._fragments = fragments
        self._metrics = metrics
        self._limits = limits
        self._mentioning = mentioning
        self._shared = shared
        self._now = now
        self._sent = SentDrafts()

    async def say(
        self,
        audience: Audience,
        connection: Connection,
        drafts: Sequence[Draft],
        is_open: bool = False,
        tries_again: bool = False,
    ) -> None:
        """Store `drafts` in order, and send one receipt that says what became of each.

        Into open drafts something may be typed right now: they stay in the composer until they have come again. What
        was refused before stays so then, unless the page `tries_again`.
        """
        author = connection.member.id if connection.member else ""
        places = [Place(number, draft.key) for number, draft in enumerate(drafts, start=1)]
        if self._shared and (tries_again or connection not in audience):
            await self._shared.recall(self._sent, author, drafts, self._now())
        said = [self._sent.sent_text(author, draft) for draft in drafts]
        done: list[Place] = []
        refused: list[Place] = []
        notice = ""
        for saying in plan_messages(drafts, said, is_open):
            its_places = [places[number - 1] for number in saying.numbers]
            try:
                if saying.draft:
                    await self._say_one(audience, connection, saying.draft, is_open, is_open or tries_again)
                done += its_places
            except Refused as refusal:
                # An empty draft is released. Beside others, it is the one that is still to be written.
                if refusal.reason == "blank":
                    done += its_places
                else:
                    refused.append(its_places[-1])
                if refusal.reason != "blank" or len(drafts) == 1:
                    notice = refusal.sentence
        self._note(author, [drafts[place.number - 1] for place in done], is_open)
        released = [] if is_open else done
        join = None if connection.member else audience.room
        connection.offer(self._fragments.receipt(released, refused, notice, new_keys(len(released)), join))

    async def _say_one(
        self, audience: Audience, connection: Connection, draft: Draft, is_open: bool, is_tried: bool
    ) -> None:
        """Post one draft. One that was refused while open is refused again when it comes as final."""
        author = connection.member.id if connection.member else ""
        refused_before = None if is_tried else self._sent.refusal(author, draft)
        if refused_before:
            raise refused_before
        try:
            await self.post(audience.room, connection.member, draft, connection.address)
        except Refused as refusal:
            self._metrics.refused(refusal.reason, author or None)
            if is_open and author:
                self._sent.note_refusal(author, draft, refusal, self._now())
            raise

    def _note(self, author: str, drafts: Sequence[Draft], is_open: bool) -> None:
        """Remember the texts of open drafts; final ones do not come again."""
        for draft in drafts:
            if not is_open:
                self._sent.release(author, draft)
            elif author and len(draft.body) <= (BLANK_NOTED if is_blank(draft.body) else self._settings.message_length):
                self._sent.note_sent(author, draft, self._now())

    async def post(self, room: Room, member: Member | None, draft: Draft, address: str) -> None:
        """Store one message of `member`, once, however often it is submitted. Raises `Refused`."""
        if member is None:
            raise NAMELESS()
        if not draft.key:
            raise KEYLESS()
        body = clean(draft.body, self._settings.message_length)
        await self._limits.message(member, address, body)
        try:
            is_new = await self._store_message(room, member, replace(draft, body=body))
        except (StoreUnavailable, Refused) as error:
            self._limits.refund_message(member, address, body)
            if isinstance(error, Refused):
                raise
            log.error("not stored", room=room.slug, error=str(error))
            raise UNSTORED() from error
        if is_new:
            self._metrics.message()
        else:
            self._limits.refund_message(member, address, body)

    async def _store_message(self, room: Room, member: Member, draft: Draft) -> bool:
        """Store a message with all that belongs to it, and return whether it is new. Raises `Refused`."""
        original = await self._store.message(room.id, draft.reply_to) if draft.reply_to else None
        reply = quote(original) if original else None  # what is not there is not quoted
        try:
            mentions = await self._mentioning.new_mentions(room, member, draft.body)
        except Refused:
            # One that is stored already must not be refused: its page would keep it.
            if await self._store.is_stored(room.id, member, draft.body, draft.key):
                return False
            raise
        return (await self._store.append(room.id, member, draft.body, draft.key, reply, mentions)).is_new

    def share_drafts(self) -> None:
        """Share the texts of drafts that linger in their pages."""
        if self._shared:
            self._shared.share(self._sent.lingering(self._now()))

    def sweep(self) -> None:
        """Forget old drafts."""
        self._sent.sweep(self._now())


def new_keys(count: int) -> list[str]:
    """Return so many fresh idempotency keys."""
    return list(islice(_fresh_keys, count))


def _draw_keys() -> Iterator[str]:
    while True:
        drawn = token_urlsafe(KEYS_DRAWN * KEY_LENGTH * 3 // 4)  # many at once, for it is the system that draws them
        yield from (drawn[start : start + KEY_LENGTH] for start in range(0, len(drawn), KEY_LENGTH))


_fresh_keys = _draw_keys()
