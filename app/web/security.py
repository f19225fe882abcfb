"""Host, origin, security headers and nonce; and the rate limit of requests.

Everything here fails closed and says why.
"""

from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address
from math import ceil
from secrets import token_urlsafe
from socket import gethostname
from time import monotonic
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.params import Depends as Dependency
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.chat.limits import Limits, site
from app.metrics import Metrics
from app.web.cookies import drop_foreign_cookies, is_secure

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


# Names for which nobody else can have a certificate or a DNS entry.
OWN_HOSTS = ("localhost", gethostname().lower(), f"{gethostname().lower()}.local")

MISNAMED = "This server does not accept this host name. The operator can allow it with PARLOR_ALLOWED_HOSTS.\n"
FOREIGN = "This request came from another site and was refused.\n"


def limit_requests(limits: Limits, metrics: Metrics) -> Dependency:
    """Return a dependency of routes that answers 429 if an address exceeds its limit."""

    async def count(request: Request) -> None:
        wait = limits.reads.take(address_of(request), monotonic())
        if wait:
            metrics.refused("reads")
            raise HTTPException(429, headers={"Retry-After": str(ceil(wait))})

    return Dependency(count)


class SecurityMiddleware:
    """ASGI middleware: refuses foreign hosts and origins, and sets the security headers."""

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
                # A stored page keeps its nonce, and needs the policy that came with it: a later one would
                # take its place (RFC 9111, 4.3.4).
                if message["status"] != HTTPStatus.NOT_MODIFIED:
                    add_headers(MutableHeaders(scope=message), nonce)
                if message["status"] == 413:
                    self.metrics.refused("body-too-large")
            await send(message)

        await (self._refuse(scope) or self.app)(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> ASGIApp | None:
        """Return the answer to a foreign request; None if it may pass."""
        drop_foreign_cookies(scope)
        if not is_ours(Headers(scope=scope).get("host", ""), self.allowed_hosts):
            self.metrics.refused("foreign-host")
            return PlainTextResponse(MISNAMED, 421)
        if is_foreign(scope, self.allowed_origins):
            self.metrics.refused("foreign-origin")
            return PlainTextResponse(FOREIGN, 403)
        return None


def add_headers(headers: MutableHeaders, nonce: str) -> None:
    """Set the security headers, unless they are set already."""
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


def address_of(connection: HTTPConnection) -> str:
    """Return the address of a request or a handshake, as limits count it; empty if unknown."""
    return site(connection.client.host) if connection.client else ""
