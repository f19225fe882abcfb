"""Who is in a room: present, absent, and the grace in between.

Somebody is present from the first of their connections until `grace` seconds after the last: a reload or a
short outage is not an absence. The caller brings the time; this module does no I/O.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from app.messages import Member


@dataclass(slots=True)
class Attendance:
    """One member's connections to the room; `left_at` is when the last of them ended."""

    member: Member
    connections: int = 0
    left_at: float | None = None


class Presence:
    """The members present in one room."""

    def __init__(self) -> None:
        self._here: dict[str, Attendance] = {}
        self.changed = False

    def __len__(self) -> int:
        return len(self._here)

    def __contains__(self, member_id: str) -> bool:
        return member_id in self._here

    def members(self) -> list[Member]:
        """Return who is present, by name."""
        return sorted((attendance.member for attendance in self._here.values()), key=_by_name)

    def arrive(self, member: Member) -> None:
        """A connection of `member` begins."""
        self.rename(member)
        attendance = self._here.get(member.id)
        if attendance is None:
            attendance = self._here[member.id] = Attendance(member)
            self.changed = True
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
        """Show `member` by the name they have now, if they are here."""
        attendance = self._here.get(member.id)
        if attendance and attendance.member != member:
            attendance.member = member
            self.changed = True

    def sweep(self, now: float, grace: float) -> None:
        """Let those go who left more than `grace` seconds before `now`."""
        gone = [key for key, a in self._here.items() if a.left_at is not None and now - a.left_at >= grace]
        for member_id in gone:
            del self._here[member_id]
            self.changed = True


def everybody(presences: Iterable[Presence]) -> set[str]:
    """Return the ids of all who are present anywhere."""
    return {member.id for presence in presences for member in presence.members()}


def _by_name(member: Member) -> tuple[str, str]:
    return (member.name.casefold(), member.id)
