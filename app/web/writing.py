"""The task that writes to a socket through ASGI; a direct transport has none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import WebSocketDisconnect

from app.delivery.connection import Connection
from app.delivery.transport import AsgiTransport
from app.delivery.websocket_protocol import WebSocketProtocol

log = structlog.get_logger("parlor.websocket")

AnyTransport = WebSocketProtocol | AsgiTransport


@asynccontextmanager
async def writing(transport: AnyTransport, connection: Connection) -> AsyncIterator[None]:
    """Run an ASGI transport's writer meanwhile; a direct transport has none."""
    if not isinstance(transport, AsgiTransport):
        yield
        return
    writing = asyncio.create_task(_write(transport, connection))
    try:
        yield
    finally:
        writing.cancel()
        await asyncio.wait({writing})


async def _write(transport: AsgiTransport, connection: Connection) -> None:
    # `_read` notices that a browser is gone: its last frames may be unread.
    try:
        await transport.run()
    except WebSocketDisconnect:
        pass
    except Exception:
        log.exception("not written")
        connection.cut("failed")
