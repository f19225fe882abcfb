"""What it takes to render a message for all, in this process: no server, no socket, and nothing from a cache."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import perf_counter

from markupsafe import Markup, escape

from app.chat import links
from app.chat.messages import Cursor, Member, Mention, Message, Room
from app.chat.timeline import Entry
from app.html.bodies import body_html
from app.html.fragments import Fragments
from app.settings import Settings

LOBBY = Room(1, "lobby", "Lobby")
SENDER = Member("a000000000000001", "Sender 1", "UTC")
MENTION = Mention(SENDER.id, SENDER.name, "sender")
PLAIN = "I have moved the meeting to three o'clock: would that suit you, or is Thursday better after all?"
BODIES = {
    "plain": PLAIN,
    "address": f"{PLAIN} https://example.org/agenda?day=thursday",
    "emphasis": f"{PLAIN} It is *rather* urgent.",
    "mention": f"@sender, {PLAIN}",
    "code": f"```python\nfor room in rooms:\n    print(room.name)\n```\n{PLAIN}",
}
REPEATS, PARTS = 200, 15  # the quickest part counts: in the others, something else was at work


def times() -> dict[str, float]:
    """Return the seconds for a message's frame by its kind, and for a plain body: as it is, and without markup."""
    fragments = Fragments(Settings(), "/static", kept_characters=0)
    now = datetime.now(UTC)

    def frame(body: str) -> str:
        mentions = (MENTION,) if "@sender" in body else ()
        entry = Entry(Message(1, SENDER.id, SENDER.name, body, now, mentions=mentions), continues=True, day=None)
        return fragments.changes(LOBBY, [entry], Cursor("4f1c09aa", 1), "UTC")

    found = {name: _time(frame, body) for name, body in BODIES.items()}
    return {**found, "body": _time(body_html, PLAIN), "unmarked": _time(_unmarked, PLAIN)}


def _unmarked(body: str) -> Markup:
    """Return a body as it would be if there were no markup: its text, with addresses as links."""
    return Markup("").join(
        Markup('<a href="{}">{}</a>').format(part.href, part.shown or part.text) if part.href else escape(part.text)
        for part in links.split(body)
    )


def _time(work: Callable[[str], object], body: str) -> float:
    return min(_part(work, [f"{body} {part}.{number}" for number in range(REPEATS)]) for part in range(PARTS))


def _part(work: Callable[[str], object], bodies: Sequence[str]) -> float:
    began = perf_counter()
    for body in bodies:  # each is another: what addresses are in a text is remembered
        work(body)
    return (perf_counter() - began) / len(bodies)
