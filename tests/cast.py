"""The people in the tests, and their messages."""

from datetime import UTC, datetime, timedelta

from app.chat.messages import Member, Message, Room

ANN = Member("a000000000000001", "Ann", "UTC")
BOB = Member("b000000000000002", "Bob", "Europe/Berlin")
LOBBY = Room(1, "lobby", "Lobby")
WATERCOOLER = Room(2, "watercooler", "Watercooler")
START = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


def message(position: int, body: str = "hello", author: Member = ANN, minutes: float = 0) -> Message:
    """Return what `author` said `minutes` after the start."""
    return Message(position, author.id, author.name, body, START + timedelta(minutes=minutes))
