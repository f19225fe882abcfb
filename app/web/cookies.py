"""Our cookies: the member, and what Enter does. Cookies of others on this host are dropped unread."""

import re

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope

from app.chat.messages import Member
from app.settings import Settings
from app.web.identity import HOST_SALT, SALT, Signer

COOKIE = "parlor_member"
# Under HTTPS. A browser takes it from this host alone: no neighbour under the same domain can plant one.
# https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#name-the-__host-prefix
HOST_COOKIE = f"__Host-{COOKIE}"
# What Enter does in this browser, if its user chose: a phone and a desktop may differ.
ENTER_COOKIE = "parlor_enter"
ENTER_CHOICES = frozenset({"send", "line"})
OWN_COOKIES = [re.compile(rf"(?:^|; ?)({name}=[^\s;,\"]*)".encode()) for name in (HOST_COOKIE, COOKIE, ENTER_COOKIE)]


class Cookies:
    """Sets cookies that last as long as a session."""

    def __init__(self, settings: Settings, signer: Signer) -> None:
        self._lifetime = int(settings.session_lifetime.total_seconds())
        self._signer = signer

    def set_member(self, request: Request, response: Response, member: Member) -> None:
        """Set the cookie that names `member`."""
        name, salt = (HOST_COOKIE, HOST_SALT) if is_secure(request.scope) else (COOKIE, SALT)
        self.put(request, response, name, self._signer.sign(member, salt))

    def put(self, request: Request, response: Response, name: str, value: str) -> None:
        """Set the cookie `name`."""
        secure = is_secure(request.scope)
        response.set_cookie(name, value, max_age=self._lifetime, httponly=True, samesite="lax", secure=secure)


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
    """Return the names of the member cookies that came with a request or a handshake."""
    names = (HOST_COOKIE, COOKIE) if is_secure(connection.scope) else (COOKIE,)
    return [name for name in names if name in connection.cookies]


def enter_of(connection: HTTPConnection) -> str:
    """Return what Enter does in this browser: "send", "line", or "" for the device's default."""
    chosen = connection.cookies.get(ENTER_COOKIE, "")
    return chosen if chosen in ENTER_CHOICES else ""


def delete_cookie(response: Response, name: str) -> None:
    """Delete a cookie."""
    # Without `Secure`, a browser takes nothing by a name with the prefix, not even its end.
    response.delete_cookie(name, secure=name == HOST_COOKIE, httponly=True, samesite="lax")


def is_secure(scope: Scope) -> bool:
    """Whether a request or a handshake came by HTTPS, to us or to a proxy that is trusted to say so."""
    return scope.get("scheme") in ("https", "wss")
