"""Who is typing in one room: a few names, each for a few seconds. The caller brings the time; no I/O."""

from app.chat.messages import Member

SHOWN_SECONDS = 6.0  # for which a page shows it (static/css/typing.css)
NEWS_SECONDS = 2.0  # a page says it every 3 seconds: more often is no news
MOST_NAMED = 3  # of more, only that they are several is shown
MOST_NOTED = 50


class Typing:
    """The members who are typing in one room."""

    def __init__(self) -> None:
        self._typed: dict[str, tuple[float, Member]] = {}  # when each typed last
        self.changed = False  # since it was shown

    def note(self, member: Member, now: float) -> bool:
        """`member` types at `now` (seconds); returns whether that is news."""
        at, _ = self._typed.get(member.id, (float("-inf"), member))
        if now - at < NEWS_SECONDS or (member.id not in self._typed and len(self._typed) >= MOST_NOTED):
            return False
        self._typed[member.id] = now, member
        self.changed = True
        return True

    def stop(self, member_id: str) -> None:
        """They have sent it, or removed it."""
        self.changed = self._typed.pop(member_id, None) is not None or self.changed

    def show(self, now: float) -> list[tuple[Member, int]]:
        """Return who types, and how many seconds ago each typed last. It counts as shown."""
        self._typed = {key: noted for key, noted in self._typed.items() if now - noted[0] < SHOWN_SECONDS}
        self.changed = False
        return [(member, int(now - at)) for at, member in self._typed.values()]
