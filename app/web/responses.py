"""HTTP answers: a page with an ETag, a private page, a redirect to a room."""

from http import HTTPStatus

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.chat.messages import Room
from app.html.etags import Representation, is_among, represent
from app.html.fragments import HOLE
from app.web.security import HEADERS, POLICY

CACHE = "private, no-cache"  # a page may be a member's own, and is stale with the next message


def representation(html: str) -> Representation:
    """Return the representation of `html`, which stands for the policy that comes with it, too."""
    return represent(html, HOLE, f"{POLICY}{HEADERS}")


def cached_response(request: Request, shown: Representation) -> Response:
    """Return 304 if the browser has `shown` already, else the page."""
    headers = {"Cache-Control": CACHE, "ETag": shown.etag, "Vary": "Cookie"}
    if is_among(shown.etag, request.headers.get("If-None-Match", "")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return HTMLResponse(shown.with_nonce(request.state.nonce), headers=headers)


def html_response(text: str, status: int = 200) -> HTMLResponse:
    """Return a page that no cache may keep for others."""
    return HTMLResponse(text, status, {"Cache-Control": CACHE})


def redirect(room: Room, position: int | None = None) -> Response:
    """Return the way to a room, or to the message at `position`, after a form."""
    message = f"/{position}#message-{position}" if position else ""
    return RedirectResponse(f"/rooms/{room.slug}{message}", 303)
