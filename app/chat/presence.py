"""Who is in a room: present, absent, and the grace between.

A member is present from their first connection until `grace` seconds after the last one ends: a reload is not an
absence. Members are here, in this process, or elsewhere, in others. The caller brings the time; no I/O.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.chat.messages import Member


@dataclass(slots=True)
class Attendance:
    """The connections of one member to a room in this process; `left_at` is when the last one ended."""

    member: Member
    connections: int = 0
    left_at: float | None = None


class Presence:
    """The members present in one room."""

    def __init__(self) -> None:
        self._here: dict[str, Attendance] = {}
        self._elsewhere: dict[str, Member] = {}
        self.version = 0  # of the presence elsewhere
        self.changed = False  # the members present, or a name
        self.moved = False  # the members here

    def __len__(self) -> int:
        """How many members are here. Members elsewhere do not keep an audience in memory."""
        return len(self._here)

    def __contains__(self, member_id: str) -> bool:
        return member_id in self._here or member_id in self._elsewhere

    def members(self) -> list[Member]:
        """Return the present members, sorted by name."""
        return sorted(self._all().values(), key=_by_name)

    def get(self, member_id: str) -> Member | None:
        """Return the member with this id, if they are present."""
        attendance = self._here.get(member_id)
        return attendance.member if attendance else self._elsewhere.get(member_id)

    def find(self, is_called: Callable[[str], bool]) -> list[Member]:
        """Return the present members with such names."""
        return [member for member in self._all().values() if is_called(member.name)]

    def _all(self) -> dict[str, Member]:
        return self._elsewhere | {key: attendance.member for key, attendance in self._here.items()}

    def here(self) -> set[str]:
        """Return the ids of the members present in this process."""
        return set(self._here)

    def set_elsewhere(self, elsewhere: Iterable[Member], version: int) -> None:
        """Set the members present in other processes, as of a `version`."""
        before = self._all()
        self._elsewhere = {member.id: member for member in elsewhere}
        self.version = version
        self.changed = self.changed or self._all() != before

    def arrive(self, member: Member) -> None:
        """A connection of `member` begins."""
        self.rename(member)
        attendance = self._here.get(member.id)
        if attendance is None:
            attendance = self._here[member.id] = Attendance(member)
            self.moved = True
            self.changed = self.changed or member.id not in self._elsewhere
        attendance.connections += 1
        attendance.left_at = None

    def depart(self, member_id: str, now: float) -> None:
        """A connection of theirs ends at `now` (seconds)."""
        attendance = self._here.get(member_id)
        if attendance is None or attendance.connections == 0:
            return
        attendance.connections -= 1
        if attendance.connections == 0:
            attendance.left_at = now

    def rename(self, member: Member) -> None:
        """Show `member` by the name they have now, if they are present."""
        attendance, known = self._here.get(member.id), self.get(member.id)
        if attendance:
            attendance.member = member
        if member.id in self._elsewhere:
            self._elsewhere[member.id] = member
        self.changed = self.changed or known not in (None, member)

    def sweep(self, now: float, grace: float) -> None:
        """Remove the members whose last connection ended more than `grace` seconds before `now`."""
        gone = [key for key, a in self._here.items() if a.left_at is not None and now - a.left_at >= grace]
        for member_id in gone:
            del self._here[member_id]
            self.moved = True
            self.changed = self.changed or member_id not in self._elsewhere


def everybody(presences: Iterable[Presence]) -> set[str]:
    """Return the ids of all members here, in any room."""
    return set[str]().union(*(presence.here() for presence in presences))


def _by_name(member: Member) -> tuple[str, str]:
    return (member.name.casefold(), member.id)
