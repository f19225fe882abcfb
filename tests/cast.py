"""Who is in the tests, and what they say."""

from datetime import UTC, datetime, timedelta

from app.messages import Member, Message, Room

ANN = Member("a000000000000001", "Ann", "UTC")
BOB = Member("b000000000000002", "Bob", "Europe/Berlin")
LOBBY = Room(1, "lobby", "Lobby")
WATERCOOLER = Room(2, "watercooler", "Watercooler")
START = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)

# What somebody may send who means no good. Each must come out as the text it is.
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</div></li></ol><h1>Mine</h1>",
    "<hx-partial hx-target='#chat'><p>mine</p></hx-partial>",
    "<div hx-swap-oob='true' id='composer'>mine</div>",
    "<b hx-get='/x' hx-trigger='load' data-hx-get='/x'>",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "javascript:alert(1) data:text/html,<script>alert(1)</script>",
    'http://example.org/"onmouseover="alert(1)',
    "http://example.org/'><script>alert(1)</script>",
    "</textarea></template></style><!--",
    "&lt;b&gt; &amp;amp; &#60;",
    "\u202eright to left\u202c \u200bzero width",
)


def message(position: int, body: str = "hello", author: Member = ANN, minutes: float = 0) -> Message:
    """Return what `author` said `minutes` after the start."""
    return Message(position, author.id, author.name, body, START + timedelta(minutes=minutes))
