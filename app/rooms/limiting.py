"""Limiting: messages, names and rooms take tokens from this process's buckets, then from those that all share."""

from collections.abc import Callable
from math import ceil

from app.chat.limits import Limits
from app.chat.messages import Member, Refused
from app.cluster.limits import SharedLimits


class RateLimits:
    """Takes tokens, and refuses what exceeds a limit. `shared` is None in a single process."""

    def __init__(self, limits: Limits, shared: SharedLimits | None, now: Callable[[], float]) -> None:
        self._limits = limits
        self._shared = shared
        self._now = now

    def __len__(self) -> int:
        """How many members and addresses have a bucket that is not full yet."""
        return len(self._limits)

    def sweep(self) -> None:
        """Forget the buckets that have filled up again."""
        self._limits.sweep(self._now())
        if self._shared:
            self._shared.sweep()

    # Messages

    async def message(self, member: Member, address: str, body: str) -> None:
        """Count a message. Raises `Refused` ("too-fast", "too-fast-address") and counts nothing then."""
        self._take_message(member, address, body)
        if self._shared and (denial := await self._shared.message(member.id, address)):
            self._give_message_back(member, address, body)
            raise _too_fast(denial.wait) if denial.kind == SharedLimits.MESSAGE else _too_fast_address(denial.wait)

    def refund_message(self, member: Member, address: str, body: str) -> None:
        """Count a message back that was not stored, or was stored before."""
        self._give_message_back(member, address, body)
        if self._shared:
            self._shared.refund_message(member.id, address)

    def _take_message(self, member: Member, address: str, body: str) -> None:
        now = self._now()
        wait = self._limits.messages.take(member.id, now)
        if wait:
            raise _too_fast(wait)
        wait = self._limits.address_messages.take(address, now)
        if wait:
            self._limits.messages.refund(member.id)
            raise _too_fast_address(wait)
        wait = self._limits.characters.take(address, now, len(body))
        if wait:
            self._limits.messages.refund(member.id)
            self._limits.address_messages.refund(address)
            raise _too_fast_address(wait)

    def _give_message_back(self, member: Member, address: str, body: str) -> None:
        self._limits.messages.refund(member.id)
        self._limits.address_messages.refund(address)
        self._limits.characters.refund(address, len(body))

    async def everybody(self, member: Member) -> None:
        """Count a mention of everybody. Raises `Refused` ("everybody")."""
        wait = self._limits.everybody.take(member.id, self._now())
        if not wait and self._shared and (denial := await self._shared.everybody(member.id)):
            self._limits.everybody.refund(member.id)
            wait = denial.wait
        if wait:
            sentence = f"You mentioned everybody a short while ago. Wait {_long(wait)}, or write it without @room."
            raise Refused("everybody", sentence, wait)

    # Names and rooms

    async def creation(self, address: str) -> None:
        """Count a name or a room that is asked for. Raises `Refused` ("too-many")."""
        wait = self._limits.creations.take(address, self._now())
        if not wait and self._shared and (denial := await self._shared.creation(address)):
            wait = denial.wait
        if wait:
            raise Refused("too-many", f"Too many changes from your address. Wait {_seconds(wait)} and try again.", wait)

    async def room(self, address: str) -> None:
        """Count a room that is made. Raises `Refused` ("too-many-rooms")."""
        wait = self._limits.rooms.take(address, self._now())
        if not wait and self._shared and (denial := await self._shared.room(address)):
            self._limits.rooms.refund(address)
            wait = denial.wait
        if wait:
            sentence = f"Your address has created many rooms. Wait {_long(wait)} before you create another."
            raise Refused("too-many-rooms", sentence, wait)

    def refund_room(self, address: str) -> None:
        """Count a room back that was not made."""
        self._limits.rooms.refund(address)
        if self._shared:
            self._shared.refund_room(address)


def _too_fast(wait: float) -> Refused:
    return Refused("too-fast", f"You are sending too fast. Wait {_seconds(wait)}, then send it again.", wait)


def _too_fast_address(wait: float) -> Refused:
    sentence = f"Too many messages from your address. Wait {_seconds(wait)}, then send it again."
    return Refused("too-fast-address", sentence, wait)


def _long(wait: float) -> str:
    """Return a long `wait` in words, rounded up to a unit that fits."""
    if wait <= 120:
        return _seconds(wait)
    return f"{ceil(wait / 60)} minutes" if wait <= 7200 else f"{ceil(wait / 3600)} hours"


def _seconds(wait: float) -> str:
    return "a second" if ceil(wait) == 1 else f"{ceil(wait)} seconds"
