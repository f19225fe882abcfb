"""Who may speak to us, and what a page may do: origin, headers and nonce, the current member.

Everything here fails closed and says why.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address
from secrets import token_urlsafe
from socket import gethostname
from time import monotonic
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.chat.limits import site
from app.chat.messages import Member
from app.metrics import Metrics
from app.store.store import Store
from app.web.identity import HOST_SALT, Session, Signer

COOKIE = "parlor_member"
# Under HTTPS. A browser takes it from this host alone: no neighbour under the same domain can plant one.
# https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#name-the-__host-prefix
HOST_COOKIE = f"__Host-{COOKIE}"
# What Enter does in this browser, where somebody has chosen: a phone's owner may want something else at their desk.
ENTER_COOKIE = "parlor_enter"
ENTER_CHOICES = frozenset({"send", "line"})
OWN_COOKIES = [re.compile(rf"(?:^|; ?)({name}=[^\s;,\"]*)".encode()) for name in (HOST_COOKIE, COOKIE, ENTER_COOKIE)]
VOUCHED_SECONDS = (
    60.0  # for which somebody who was looked up is not looked up again; the store notes visits by the hour
)
MOST_VOUCHED = 10_000
LONGEST_HOST = 253 + len(".:65535")  # a name of the DNS, with the dot that may end it, and a port
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

# No script but htmx's, which carries the nonce; no eval; no markup but through htmx's Trusted Types policy.
# `data:` to connect is how the page changes its own status without a network.
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; "
    "connect-src 'self' data:; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types htmx"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), interest-cohort=()",
}


# A name of our own for which nobody else can have a certificate or an entry in the DNS.
OWN_HOSTS = ("localhost", gethostname().lower(), f"{gethostname().lower()}.local")

MISNAMED = "This server does not accept this host name. The operator can allow it with PARLOR_ALLOWED_HOSTS.\n"
FOREIGN = "This request came from another site and was refused.\n"


class Guard:
    """ASGI middleware: refuses what comes from elsewhere, and puts the policy on every answer that brings something."""

    def __init__(
        self, app: ASGIApp, allowed_hosts: tuple[str, ...], allowed_origins: tuple[str, ...], metrics: Metrics
    ) -> None:
        self.app = app
        self.allowed_hosts = allowed_hosts
        self.allowed_origins = allowed_origins
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve_page(scope, receive, send)
        elif scope["type"] == "websocket":
            # A handshake is refused by an answer, too: Starlette turns it into one.
            await (self._refuse(scope) or self.app)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        nonce = token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                # What a browser has keeps its nonce, and so the policy that came with it: one that comes later would
                # take its place (RFC 9111, 4.3.4).
                if message["status"] != HTTPStatus.NOT_MODIFIED:
                    add_headers(MutableHeaders(scope=message), nonce)
                if message["status"] == 413:
                    self.metrics.refused("body-too-large")
            await send(message)

        await (self._refuse(scope) or self.app)(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> ASGIApp | None:
        """Return the answer to what comes from elsewhere; None where it may pass."""
        drop_foreign_cookies(scope)
        if not is_ours(Headers(scope=scope).get("host", ""), self.allowed_hosts):
            self.metrics.refused("foreign-host")
            return PlainTextResponse(MISNAMED, 421)
        if is_foreign(scope, self.allowed_origins):
            self.metrics.refused("foreign-origin")
            return PlainTextResponse(FOREIGN, 403)
        return None


def add_headers(headers: MutableHeaders, nonce: str) -> None:
    """Put the policy and its companions on an answer; what is there already stays."""
    headers.setdefault("Content-Security-Policy", POLICY.format(nonce=nonce))
    for name, value in HEADERS.items():
        headers.setdefault(name, value)


def is_ours(host: str, allowed_hosts: tuple[str, ...]) -> bool:
    """Whether `host`, as in the header, is a name of this server's.

    Under any other, somebody else's page could read ours: it would only have to lead its own name to our address
    (DNS rebinding). An address is nobody's to lead elsewhere, and without the header it is no browser that asks.
    """
    return len(host) <= LONGEST_HOST and _is_ours(host, allowed_hosts)


@lru_cache(maxsize=256)  # asked at each request, and most come under the same name
def _is_ours(host: str, allowed_hosts: tuple[str, ...]) -> bool:
    if not host:
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    return "*" in allowed_hosts or name in (*allowed_hosts, *OWN_HOSTS) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_foreign(scope: Scope, allowed_origins: tuple[str, ...]) -> bool:
    """Whether a handshake, or a request that could change something, comes from another site's page.

    Browsers say where from in `Origin`, and how far that is in `Sec-Fetch-Site`; what says neither is no browser, and
    has no cookie that somebody else could abuse.
    """
    if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
        return False
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin in allowed_origins:
        return False
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    return origin is not None and not is_own(origin, headers.get("host", ""), is_secure(scope))


def is_secure(scope: Scope) -> bool:
    """Whether a request or a handshake came by HTTPS, to us or to a proxy that is trusted to say so."""
    return scope.get("scheme") in ("https", "wss")


def is_own(origin: str, host: str, is_secure: bool = False) -> bool:
    """Whether the page at `origin` is ours: it has the host and the port under which we were called.

    Where we were called by HTTPS, so was the page: one that came without may be anybody's who is on the way. Where we
    were not, it may be that a proxy ends HTTPS and does not say so.
    """
    if len(origin) > LONGEST_HOST + len("https://"):
        return False
    try:
        if is_secure and urlsplit(origin).scheme != "https":
            return False
        page, called = urlsplit(origin), urlsplit(f"//{host}")
        default = DEFAULT_PORTS.get(page.scheme)
        return bool(page.hostname) and (page.hostname, page.port or default) == (
            called.hostname,
            called.port or default,
        )
    except ValueError:
        return False


class Doorkeeper:
    """Tells who somebody is, from their cookie and from the store. `now` is a clock for pauses, in seconds."""

    def __init__(self, signer: Signer, store: Store, now: Callable[[], float] = monotonic) -> None:
        self.signer = signer
        self._store = store
        self._now = now
        self._vouched: dict[str, tuple[Member, float]] = {}  # by id: who the store knows, and until when that holds
        self._changes = 0  # how often somebody became another

    async def session(self, connection: HTTPConnection) -> Session | None:
        """Return the session of a request or a handshake; None for somebody without a name.

        A cookie from before a renaming is nobody's: the name in it may belong to another by now.
        """
        session = self.read(connection)
        return session if session and await self.counts(session.member) else None

    def read(self, connection: HTTPConnection) -> Session | None:
        """Return what the cookie of a request or a handshake says, whether it still holds or not.

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
        if self._is_vouched(member):
            return True
        changes = self._changes
        known = await self._store.member(member.id)
        if known and changes == self._changes:
            self._vouch(known)
        return member.is_still(known)

    def forget(self, member: Member) -> None:
        """What we know of `member`, or are being told right now, no longer holds: they may have another name."""
        self._changes += 1
        self._vouched.pop(member.id, None)

    def _is_vouched(self, member: Member) -> bool:
        known, until = self._vouched.get(member.id, (None, 0.0))
        return member.is_still(known) and self._now() < until

    def _vouch(self, member: Member) -> None:
        if len(self._vouched) >= MOST_VOUCHED:
            self._vouched.clear()
        self._vouched[member.id] = (member, self._now() + VOUCHED_SECONDS)

    async def member(self, connection: HTTPConnection) -> Member | None:
        """Return the member of a request or a handshake."""
        session = await self.session(connection)
        return session.member if session else None


def drop_foreign_cookies(scope: Scope) -> None:
    """Leave of all cookies in a request ours alone.

    Those of others on this host mean nothing to us, and are read all the same: undoing the quotes of one of 30 kB, as
    Python does it, takes a second.
    """
    cookies = [value for name, value in scope["headers"] if name == b"cookie"]
    if cookies:
        found = [pattern.search(value) for value in cookies for pattern in OWN_COOKIES]
        own = b"; ".join(match[1] for match in found if match)
        scope["headers"] = [field for field in scope["headers"] if field[0] != b"cookie"]
        if own:
            scope["headers"].append((b"cookie", own))


def cookies_of(connection: HTTPConnection) -> list[str]:
    """Return the names of the cookies that a request or a handshake brings, of those that say who somebody is."""
    names = (HOST_COOKIE, COOKIE) if is_secure(connection.scope) else (COOKIE,)
    return [name for name in names if name in connection.cookies]


def enter_of(connection: HTTPConnection) -> str:
    """Return what somebody has chosen that Enter does; empty where it is what fits the device."""
    chosen = connection.cookies.get(ENTER_COOKIE, "")
    return chosen if chosen in ENTER_CHOICES else ""


def delete_cookie(response: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    # Without `Secure`, a browser takes nothing by a name with the prefix, not even its end.
    response.delete_cookie(name, secure=name == HOST_COOKIE, httponly=True, samesite="lax")


def address_of(connection: HTTPConnection) -> str:
    """Return where a request or a handshake comes from, as limits count it; empty where nobody knows."""
    return site(connection.client.host) if connection.client else ""
