"""What can be done with a message that was said: edit it, delete it, react to it.

Plain functions of messages. This module knows no database and no clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.chat.messages import Member, Mention, Message, Reaction, Reactor, Refused

MOST_KINDS = 20  # different reactions under one message


@dataclass(frozen=True, slots=True)
class Edit:
    """Gives a message another text, with its own mentions."""

    body: str
    mentions: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Takes a message back. A marker remains in its place."""


@dataclass(frozen=True, slots=True)
class React:
    """Puts an emoji under a message."""

    emoji: str


@dataclass(frozen=True, slots=True)
class Unreact:
    """Takes one's emoji back."""

    emoji: str


Change = Edit | Delete | React | Unreact


@dataclass(frozen=True, slots=True)
class Act:
    """A `change` that `member` makes `at` that time. If anything changes, it takes the next `position` of the log."""

    member: Member
    change: Change
    at: datetime
    position: int


def apply(act: Act, message: Message, window: timedelta | None) -> Message:
    """Return `message` as it is after `act`: itself where nothing changes, so that acting twice does no harm.

    `window` is how long a message can be edited (None: always). Raises `Refused` ("not-yours", "deleted", "too-late",
    "too-many-reactions").
    """
    match act.change:
        case Delete():
            changed = _delete(message, act)
        case Edit():
            changed = _edit(act.change, message, act, window)
        case React(emoji):
            changed = _react(emoji, message, act)
        case Unreact(emoji):
            changed = _unreact(emoji, message, act)
    return message if changed is message else replace(changed, changed=act.position)


def check_editable(message: Message, member: Member, at: datetime, window: timedelta | None) -> None:
    """Raise `Refused` ("not-yours", "deleted", "too-late") if `member` cannot edit `message` at that time."""
    _check_author(message, member)
    _check_kept(message)
    if window is not None and at - message.created_at > window:
        raise Refused("too-late", "This message can no longer be edited.")


def _edit(edit: Edit, message: Message, act: Act, window: timedelta | None) -> Message:
    check_editable(message, act.member, act.at, window)
    if edit.body == message.body:
        return message
    return replace(message, body=edit.body, mentions=edit.mentions, edited_at=act.at)


def _delete(message: Message, act: Act) -> Message:
    _check_author(message, act.member)
    if message.is_deleted:
        return message
    return replace(message, body="", edited_at=None, is_deleted=True, reactions=(), mentions=())


def _react(emoji: str, message: Message, act: Act) -> Message:
    _check_kept(message)
    by = {reaction.emoji: reaction.by for reaction in message.reactions}
    if any(reactor.id == act.member.id for reactor in by.get(emoji, ())):
        return message
    if emoji not in by and len(by) >= MOST_KINDS:
        raise Refused("too-many-reactions", f"A message takes {MOST_KINDS} different reactions. Choose one of them.")
    by[emoji] = (*by.get(emoji, ()), Reactor(act.member.id, act.member.name, act.position))
    return replace(message, reactions=in_order(by))


def _unreact(emoji: str, message: Message, act: Act) -> Message:
    by = {reaction.emoji: reaction.by for reaction in message.reactions}
    left = tuple(reactor for reactor in by.get(emoji, ()) if reactor.id != act.member.id)
    return message if left == by.get(emoji, ()) else replace(message, reactions=in_order(by | {emoji: left}))


def in_order(by: Mapping[str, Sequence[Reactor]]) -> tuple[Reaction, ...]:
    """Return the reactions that these members put there, by emoji: the one that is there for longest comes first."""
    reactions = [Reaction(emoji, tuple(reactors)) for emoji, reactors in by.items() if reactors]
    return tuple(sorted(reactions, key=lambda reaction: reaction.by[0].position))


def _check_author(message: Message, member: Member) -> None:
    if message.author_id != member.id:
        raise Refused("not-yours", "You can edit and delete only your own messages.")


def _check_kept(message: Message) -> None:
    if message.is_deleted:
        raise Refused("deleted", "This message was deleted.")
