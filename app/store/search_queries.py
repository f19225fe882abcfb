"""The search index: plain functions of a connection, on either engine.

SQLite has the words of a message as a text with spaces, for FTS5; PostgreSQL has them as a tsvector. Two words that no
text contains say in which room it stands and who wrote it, others who is mentioned: a filter is one more word.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, TextClause, and_, bindparam, column, delete, func, select, table, text

from app.chat.messages import EVERYBODY, Mention, Message
from app.chat.search import Term, words
from app.store.message_queries import MESSAGE, mentions_of, plain
from app.store.tables import messages, search_index

MARK = "\ue000"  # begins the words that are no text's
INDEXED_AT_ONCE = 200
MERGED_PAGES = 200  # of the full-text index, in one transaction


class Search(NamedTuple):
    """What is searched for: all `terms`; in a room, by authors, mentioning somebody, since and until when."""

    terms: Sequence[Term]
    room_id: int | None = None
    author_ids: Sequence[str] = ()
    mentioned: Sequence[str | int] = ()  # ids of members, and of rooms in which everybody is meant
    since: int | None = None  # milliseconds since 1970
    until: int | None = None
    before: int | None = None  # the id of an entry


class Found(NamedTuple):
    """A message that was found: its entry, its room, and itself without what belongs to it."""

    id: int
    room_id: int
    message: Message


# Made once: to put a statement together takes several times as long as to run it.
_INSERT = """
INSERT INTO search_index (room_id, position, created_at, words) VALUES (?, ?, ?, ?)
"""
_INSERT_POSTGRESQL = """
INSERT INTO search_index (room_id, position, created_at, words) VALUES ($1, $2, $3, $4::text::tsvector)
"""
_WORDS = table("search_words", column("rowid"))  # SQLite's
_KEY = (search_index.c.room_id == bindparam("room"), search_index.c.position == bindparam("of"))
_LAST = select(func.max(search_index.c.id))
_ENTRY = (
    select(search_index.c.id, search_index.c.created_at)
    .where(search_index.c.id >= bindparam("from"))
    .order_by(search_index.c.id)
    .limit(1)
)
_DELETE = delete(search_index).where(*_KEY)
_UPDATE = "UPDATE search_index SET words = CAST(CAST(:words AS text) AS {}) WHERE room_id = :room AND position = :of"


def document(connection: Connection, room_id: int, author_id: str, body: str, meant: Iterable[Mention] = ()) -> str:
    """Return the words of a message as the engine's column takes them."""
    found = [_in_room(room_id), _by(author_id)]
    found += [_meant(room_id if each.member_id == EVERYBODY else each.member_id) for each in meant]
    found += words(body)
    return _vector(found) if connection.dialect.name == "postgresql" else " ".join(found)


def _in_room(room_id: int) -> str:
    return f"{MARK}r{room_id}"


def _by(author_id: str) -> str:
    return f"{MARK}a{author_id}"


def _meant(who: str | int) -> str:
    return f"{MARK}e{who}" if isinstance(who, int) else f"{MARK}m{who}"


def _vector(found: Iterable[str]) -> str:
    """Return a tsvector with the places of each word: no word has a quote in it."""
    places: dict[str, list[int]] = {}
    for place, word in enumerate(found, start=1):
        places.setdefault(word, []).append(place)
    return " ".join(f"'{word}':{','.join(map(str, at))}" for word, at in places.items())


def index(connection: Connection, rows: Sequence[tuple[int, int, int, str]]) -> None:
    """Add messages to the index: the room, position and time of each, and its `document`."""
    if rows:
        is_postgresql = connection.dialect.name == "postgresql"
        connection.exec_driver_sql(_INSERT_POSTGRESQL if is_postgresql else _INSERT, list(rows))


def reindex(connection: Connection, room_id: int, changed: Sequence[Message]) -> None:
    """Bring the index up to date with messages that have changed."""
    deleted = [{"room": room_id, "of": message.position} for message in changed if message.is_deleted]
    edited = [
        {
            "room": room_id,
            "of": message.position,
            "words": document(connection, room_id, message.author_id, message.body, message.mentions),
        }
        for message in changed
        if not message.is_deleted
    ]
    if deleted:
        connection.execute(_DELETE, deleted)
    if edited:
        connection.execute(_update(connection), edited)


def _update(connection: Connection) -> TextClause:
    return text(_UPDATE.format("tsvector" if connection.dialect.name == "postgresql" else "text"))


def index_all(connection: Connection) -> None:
    """Index every message there is, in the order in which they were said."""
    said = select(messages.c.room_id, messages.c.position, messages.c.created_at, messages.c.author_id, messages.c.body)
    kept = said.where(messages.c.deleted_at.is_(None)).order_by(messages.c.created_at, messages.c.position)
    for rows in connection.execute(kept.execution_options(yield_per=INDEXED_AT_ONCE)).partitions():
        index(connection, [_entry(connection, *row) for row in rows])


def _entry(
    connection: Connection, room_id: int, position: int, at: int, author_id: str, body: str
) -> tuple[int, int, int, str]:
    meant = mentions_of(connection, room_id, [position]) if "@" in body else {}
    return room_id, position, at, document(connection, room_id, author_id, body, meant.get(position, ()))


def purge(connection: Connection, begins: bool) -> bool:
    """Overwrite a part of what deleted words have left in SQLite's full-text index; return whether there is more.

    They stay in its segments until these are merged: https://www.sqlite.org/fts5.html#the_merge_command
    """
    if connection.dialect.name == "postgresql":  # its own vacuum does that
        return False
    connection.exec_driver_sql("PRAGMA secure_delete=ON")
    before = _changes(connection)
    merge = "INSERT INTO search_words (search_words, rank) VALUES ('merge', ?)"
    connection.exec_driver_sql(merge, (-MERGED_PAGES if begins else MERGED_PAGES,))
    return _changes(connection) - before > 1


def _changes(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one())


def search(connection: Connection, asked: Search, limit: int) -> list[Found]:
    """Return up to `limit` messages that answer, the newest first."""
    entry, said = search_index.c, messages.c
    query = select(entry.id, said.room_id, *MESSAGE).select_from(search_index)
    id_: ColumnElement[int] = entry.id
    match = ""
    if any(_groups(asked)) and connection.dialect.name == "postgresql":
        match = tsquery(asked)
        query = query.where(text("words @@ CAST(CAST(:match AS text) AS tsquery)"))
    elif any(_groups(asked)):
        match, id_ = fts_query(asked), _WORDS.c.rowid
        query = query.join(_WORDS, entry.id == _WORDS.c.rowid).where(text("search_words MATCH :match"))
    query = query.join(messages, and_(said.room_id == entry.room_id, said.position == entry.position))
    query = query.where(*_bounds(connection, asked, id_)).order_by(id_.desc()).limit(limit)
    rows = connection.execute(query, {"match": match} if match else {})
    return [Found(row[0], row[1], plain(row[2:])) for row in rows]


def _bounds(connection: Connection, asked: Search, id_: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
    """Yield what limits the entries. A time is looked up as an entry, which the full-text index can skip to."""
    if asked.before is not None:
        yield id_ < asked.before
    if asked.until is not None:
        yield id_ < _entry_at(connection, asked.until)
        yield messages.c.created_at < asked.until
    if asked.since is not None:
        yield id_ >= _entry_at(connection, asked.since)
        yield messages.c.created_at >= asked.since


def _entry_at(connection: Connection, at: int) -> int:
    """Return the id of the first entry from a time on, by bisection: an index would cost at each message."""
    low, high = 0, int(connection.scalar(_LAST) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        entry = connection.execute(_ENTRY, {"from": middle}).first()
        if entry is None or entry.created_at >= at:
            high = middle
        else:
            low = entry.id + 1
    return low


def _groups(asked: Search) -> Iterator[list[Term]]:
    """Yield what has to be there: one term of each group."""
    yield from ([term] for term in asked.terms)
    if asked.room_id is not None:
        yield [Term((_in_room(asked.room_id),))]
    if asked.author_ids:
        yield [Term((_by(author_id),)) for author_id in asked.author_ids]
    if asked.mentioned:
        yield [Term((_meant(who),)) for who in asked.mentioned]


def fts_query(asked: Search) -> str:
    """Return what FTS5 takes: https://www.sqlite.org/fts5.html#full_text_query_syntax"""
    return " AND ".join(
        "(" + " OR ".join(f'"{" ".join(term.words)}"{" *" * term.is_prefix}' for term in group) + ")"
        for group in _groups(asked)
    )


def tsquery(asked: Search) -> str:
    """Return what PostgreSQL takes: https://www.postgresql.org/docs/current/datatype-textsearch.html"""
    return " & ".join("(" + " | ".join(map(_phrase, group)) + ")" for group in _groups(asked))


def _phrase(term: Term) -> str:
    *before, last = (f"'{word}'" for word in term.words)
    return " <-> ".join((*before, f"{last}{':*' * term.is_prefix}"))
