"""Authentication: the member behind a request or a handshake, by cookie and store."""

from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from cachetools import TTLCache
from starlette.requests import HTTPConnection

from app.chat.messages import Member
from app.store.store import Store
from app.web.cookies import COOKIE, HOST_COOKIE, is_secure
from app.web.identity import HOST_SALT, Session, Signer

CACHE_SECONDS = 60.0  # for which a member is not looked up again; the store records visits by the hour
MOST_CACHED = 10_000


class Authenticator:
    """Authenticates by the cookie, and by what the store knows of the session. `now` is a clock, in seconds."""

    def __init__(self, signer: Signer, store: Store, now: Callable[[], float] = monotonic) -> None:
        self.signer = signer
        self._store = store
        self._known: TTLCache[str, Member] = TTLCache(MOST_CACHED, CACHE_SECONDS, now)  # as the store knows them, by id
        self._changes = 0  # counts renamings, to notice one during a lookup

    async def session(self, connection: HTTPConnection) -> Session | None:
        """Return the session of a request or a handshake; None without a valid one.

        A cookie from before a renaming is nobody's: the name in it may belong to another by now.
        """
        session = self.read(connection)
        return session if session and await self.counts(session.member) else None

    def read(self, connection: HTTPConnection) -> Session | None:
        """Return the session in the cookie of a request or a handshake, without asking the store.

        Under HTTPS, one from before it had a prefix is taken over where there is no other. It has another salt, so that
        no cookie that somebody gets today can be planted as one of those.
        """
        if is_secure(connection.scope):
            if HOST_COOKIE in connection.cookies:
                return self.signer.read(connection.cookies[HOST_COOKIE], HOST_SALT)
            session = self.signer.read(connection.cookies.get(COOKIE, ""))
            return replace(session, is_due=True) if session else None
        return self.signer.read(connection.cookies.get(COOKIE, ""))

    async def counts(self, member: Member) -> bool:
        """Whether this is how `member` is called now, and the session that counts. Raises `StoreUnavailable`."""
        if member.is_still(self._known.get(member.id)):
            return True
        changes = self._changes
        known = await self._store.member(member.id)
        if known and changes == self._changes:
            self._known[known.id] = known
        return member.is_still(known)

    def forget(self, member: Member) -> None:
        """Invalidate the cache for `member`, and lookups that are running."""
        self._changes += 1
        self._known.pop(member.id, None)

    async def member(self, connection: HTTPConnection) -> Member | None:
        """Return the member of a request or a handshake."""
        session = await self.session(connection)
        return session.member if session else None
