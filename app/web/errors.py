"""Error pages: what happened, what to do, a way back."""

from http import HTTPStatus
from secrets import token_urlsafe

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from app.html.fragments import Fragments
from app.store.errors import StoreUnavailable
from app.web.responses import html_response
from app.web.security import add_headers

log = structlog.get_logger("parlor.pages")

SENTENCES = {
    404: "There is nothing at this address. The room may have been removed, or the link is incomplete.",
    400: "The server could not read this request.",
    403: "Metrics are not public. The operator can allow your address with PARLOR_METRICS_FROM.",
    405: "This address does not accept this kind of request.",
    413: "This request is too large.",
    415: "The server could not read this request: it accepts only forms (application/x-www-form-urlencoded).",
    422: "The server could not read this form.",
    429: "Too many requests from your address. Wait a moment and try again.",
    500: "Something went wrong on the server, and the error was logged. Your earlier messages are safe.",
    503: "The database is unavailable. Try again in a moment.",
}


def add_error_pages(app: FastAPI, fragments: Fragments) -> None:
    """Answer every error with a page that says what happened and leads back."""

    async def show(request: Request, error: Exception) -> Response:
        status = _status(error)
        if status >= 500:
            # Without the error's text: it may contain a message.
            log.error("failed", path=request.url.path, error=type(error).__name__)
        nonce = getattr(request.state, "nonce", token_urlsafe(16))
        phrase = HTTPStatus(status).phrase
        response = html_response(fragments.error(status, phrase, SENTENCES.get(status, SENTENCES[422]), nonce), status)
        response.headers.update(getattr(error, "headers", None) or {})
        # An unexpected error is answered outside of all middleware.
        add_headers(response.headers, nonce)
        return response

    for kind in (HTTPException, RequestValidationError, StoreUnavailable, Exception):
        app.add_exception_handler(kind, show)


def _status(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, RequestValidationError):
        return 422
    return 503 if isinstance(error, StoreUnavailable) else 500
