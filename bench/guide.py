"""What people write: the `ConnectionManager` of FastAPI's documentation, and of the guide that Parlor began as.

It broadcasts what it is sent, in a ready fragment: no store, no names, no rendering.
`python -m bench.guide PORT FRAGMENT_FILE`
"""

import logging
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect


class ConnectionManager:
    """Who is connected."""

    def __init__(self) -> None:
        self.active_connections: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Accept `websocket`, and send it everything from now on."""
        await websocket.accept()
        self.active_connections.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Send `websocket` nothing any more."""
        if websocket in self.active_connections:
            self.active_connections.remove(websocket)

    async def broadcast(self, message: str) -> None:
        """Send `message` to everybody, one after the other."""
        disconnected = []
        for connection in self.active_connections:
            try:
                await connection.send_text(message)
            except Exception as error:
                logging.error("Error broadcasting to connection: %s", error)
                disconnected.append(connection)
        for connection in disconnected:
            self.disconnect(connection)


def create_app(fragment: str) -> FastAPI:
    """Return the application; a message goes where `fragment` has `{message}`."""
    app = FastAPI()
    manager = ConnectionManager()
    before, after = fragment.split("{message}")

    @app.websocket("/ws")
    async def websocket_endpoint(websocket: WebSocket) -> None:
        await manager.connect(websocket)
        try:
            while True:
                data = await websocket.receive_text()
                await manager.broadcast(before + data + after)
        except WebSocketDisconnect:
            manager.disconnect(websocket)

    return app


if __name__ == "__main__":
    # uvicorn's defaults: uvloop, httptools, and compression where it is offered. It would log two lines for each
    # connection, which is not what is compared.
    uvicorn.run(create_app(Path(sys.argv[2]).read_text()), port=int(sys.argv[1]), log_level="warning")
