"""Changing: edits, deletions and reactions. Everybody in the room is shown them, as new messages are."""

import structlog

from app.chat.changes import Change, Delete, Edit, React, check_editable
from app.chat.emojis import is_emoji
from app.chat.frames import ChangeMessage, OpenEditor, StartReply
from app.chat.messages import Member, Message, Refused, Room, clean
from app.chat.quotes import quote
from app.delivery.connection import Connection
from app.delivery.hub import Audience
from app.html.fragments import Fragments
from app.metrics import Metrics
from app.rooms.limiting import RateLimits
from app.rooms.mentioning import Mentioning
from app.rooms.posting import NAMELESS, UNSTORED
from app.settings import Settings
from app.store.change_queries import Request
from app.store.errors import StoreUnavailable
from app.store.store import Store

Asked = ChangeMessage | StartReply | OpenEditor

log = structlog.get_logger("parlor.rooms")


class Changing:
    """Makes changes of messages. One per process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        limits: RateLimits,
        mentioning: Mentioning,
        fragments: Fragments,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._store = store
        self._limits = limits
        self._mentioning = mentioning
        self._fragments = fragments
        self._metrics = metrics

    async def take(self, audience: Audience, connection: Connection, asked: Asked) -> None:
        """Do what a browser asks for, and tell it that this is done, or why not."""
        is_edit = isinstance(asked, ChangeMessage) and isinstance(asked.change, Edit)
        is_deletion = isinstance(asked, ChangeMessage) and isinstance(asked.change, Delete)
        try:
            match asked:
                case ChangeMessage(position, change):
                    await self.change(audience.room, connection.member, position, change, connection.address)
                    connection.offer(self._fragments.let_go(is_edit, is_deletion))
                case StartReply(position):
                    original = await self._find(audience.room, position)
                    connection.offer(self._fragments.reply(quote(original), audience.room))
                case OpenEditor(position):
                    message = await self._editable(audience, connection.member, position)
                    connection.offer(self._fragments.editor(message, connection.time_zone))
        except Refused as refusal:
            self._metrics.refused(refusal.reason, connection.member.id if connection.member else None)
            if not is_edit:  # its text stays where it is
                connection.offer(self._fragments.let_go(from_question=is_deletion))
            join = None if connection.member else audience.room
            connection.offer(self._fragments.notice(refusal.sentence, join=join))

    async def change(self, room: Room, member: Member | None, position: int, change: Change, address: str) -> Message:
        """Make a change of the message at `position` for `member`, and return it as it is then. Raises `Refused`."""
        if member is None:
            raise NAMELESS()
        if isinstance(change, Edit):
            change = Edit(clean(change.body, self._settings.message_length))
        if isinstance(change, React) and not is_emoji(change.emoji):
            raise Refused("no-emoji", "This is no emoji. Choose one from the list.")
        body = change.body if isinstance(change, Edit) else ""
        await self._limits.message(member, address, body)
        try:
            if isinstance(change, Edit) and "@" in body:
                before = await self._find(room, position)
                change = Edit(body, await self._mentioning.new_mentions(room, member, body, before.mentions))
            return await self._store.change(Request(room.id, position, member, change, self._settings.edit_window))
        except StoreUnavailable as error:
            log.error("not changed", room=room.slug, error=str(error))
            self._limits.refund_message(member, address, body)
            raise UNSTORED() from error

    async def _editable(self, audience: Audience, member: Member | None, position: int | None) -> Message:
        """Return the message at `position`, or the last one of `member`, if they may edit it. Raises `Refused`."""
        if member is None:
            raise NAMELESS()
        message = self._last_of(audience, member) if position is None else await self._find(audience.room, position)
        check_editable(message, member, self._store.now(), self._settings.edit_window)
        return message

    async def _find(self, room: Room, position: int) -> Message:
        """Return the message at `position`. Raises `Refused`."""
        try:
            message = await self._store.message(room.id, position)
        except StoreUnavailable as error:
            raise UNSTORED() from error
        if message is None:
            raise Refused("no-message", "This message does not exist.")
        return message

    def _last_of(self, audience: Audience, member: Member) -> Message:
        """Return the newest message of `member` among the newest of the room. Raises `Refused`."""
        for message in reversed(audience.tail):
            if message.author_id == member.id and not message.is_deleted:
                return message
        raise Refused("no-message", "There is no message of yours to edit here.")
