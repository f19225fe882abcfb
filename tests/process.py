"""Processes of one chat, all in this loop, and browsers at any of them: for tests of several on one database."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.types import Message

from app.main import Parlor, create_app
from app.settings import Settings
from tests.page import Page

PATIENCE = 10.0  # seconds on a busy machine
NAME = "testserver"


class Process:
    """An application as a process of its own has it."""

    def __init__(self, app: FastAPI) -> None:
        assert isinstance(app, Parlor)
        self.app = app

    def client(self, cookies: httpx2.Cookies | None = None) -> httpx2.AsyncClient:
        """Return somebody's browser without script, who is who `cookies` say."""
        transport = httpx2.ASGITransport(self.app)
        return httpx2.AsyncClient(
            transport=transport, base_url=f"http://{NAME}", cookies=cookies, follow_redirects=True
        )

    async def figure(self, name: str) -> float:
        """Return one of its figures."""
        async with self.client() as client:
            lines = (await client.get("/metrics")).text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


@asynccontextmanager
async def process(settings: Settings) -> AsyncIterator[Process]:
    """Run a process; at the end it stops."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield Process(app)


class Browser:
    """Somebody's page of a room, with a socket that can move from one process to another."""

    def __init__(self, process: Process, name: str = "") -> None:
        self.process = process
        self.name = name
        self.cookies = httpx2.Cookies()
        self.page = Page("")
        self.notice = ""
        self.on_frame: Callable[[str], object] = lambda frame: None
        self.closed = asyncio.Event()
        self.code = 0  # with which the server ended the socket
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._serving: asyncio.Future[None] | None = None

    def of(self, other: "Browser") -> "Browser":
        """Return this one as another browser of whoever `other` is of."""
        self.cookies = httpx2.Cookies(other.cookies)
        return self

    async def __aenter__(self) -> "Browser":
        if self.name:
            await self.take_name(self.name)
        await self.load()
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Ask the process for something."""
        async with self.process.client(self.cookies) as client:
            response = await client.request(method, path, **options)
            self.cookies.update(client.cookies)
        return response

    async def take_name(self, name: str) -> int:
        """Choose a name, or another one; returns the status."""
        return (await self.request("POST", "/name", data={"name": name})).status_code

    async def load(self, path: str = "/") -> None:
        """Load the page anew."""
        response = await self.request("GET", path)
        assert response.status_code == 200, response.status_code
        self.page = Page(response.text)

    async def connect(self, process: Process | None = None, slug: str = "lobby", **drafts: object) -> None:
        """Open the socket, at `process` from now on, and return when the page is complete; come back when told to.

        With the cursor come the `drafts` that had no receipt.
        """
        self.process = process or self.process
        self.code = 1013
        while self.code == 1013:
            self.code = 0
            await self._open(slug, drafts)

    async def _open(self, slug: str, drafts: dict[str, object]) -> None:
        self.closed.clear()
        self._incoming = asyncio.Queue()
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        scope = {
            "type": "websocket",
            "path": f"/ws/{slug}",
            "headers": [(b"host", NAME.encode()), (b"cookie", cookie.encode())],
            "client": ("127.0.0.1", 1),
            "subprotocols": [],
        }
        self._incoming.put_nowait({"type": "websocket.connect"})
        self._serving = asyncio.ensure_future(self.process.app.sockets(scope, self._incoming.get, self._take))
        self.send(cursor=self.page.value("#cursor"), **drafts)
        await until(lambda: self.is_connected or self.closed.is_set())

    async def disconnect(self) -> None:
        """Close the socket."""
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
        if self._serving:
            await self._serving
        self._show("disconnected")

    async def _take(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            self.code = message.get("code", 1000)
            self._show("disconnected")
            self.closed.set()
        elif message["type"] == "websocket.send":
            self.page.take(message["text"])
            self.on_frame(message["text"])
            if "#notice" in message["text"]:
                self.notice = self.page.soup.select_one("#notice").text.strip()  # type: ignore[union-attr]

    def _show(self, state: str) -> None:
        self.page.soup.select_one("#connection")["data-state"] = state  # type: ignore[index]

    def send(self, **fields: object) -> None:
        """Send a frame."""
        self._incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(fields)})

    def say(self, text: str, key: str = "") -> None:
        """Send a message, by default as if never before."""
        self.notice = "?"
        self.send(message=text, key=key or f"key-{text}"[:60].replace(" ", "-"))

    async def said(self, text: str) -> str:
        """Say something, and return what its sender is told: nothing where it is stored."""
        self.say(text)
        await until(lambda: self.notice != "?")
        return self.notice

    @property
    def is_connected(self) -> bool:
        """Whether the page is green."""
        return bool(self.page.soup.select('#connection[data-state="connected"]'))

    @property
    def bodies(self) -> list[str]:
        """What has been said, as the page shows it."""
        return [body.text for body in self.page.soup.select(".message__body")]

    @property
    def members(self) -> list[str]:
        """Who is here, as the page shows it."""
        return [name.text for name in self.page.soup.select("#members bdi")]

    @property
    def rooms(self) -> list[str]:
        """Which rooms there are, as the page shows it."""
        return [link.text.strip() for link in self.page.soup.select("#rooms a")]

    def shown(self) -> list[str]:
        """Return what everybody in the room sees alike."""
        return [*self.page.timeline(), *map(self.page.show, ("#cursor", "#members", "#rooms"))]


async def until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Return when `condition` is true, or raise `TimeoutError`."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_async(condition: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> None:
    """Return when what `condition` finds out is true, or raise `TimeoutError`."""
    async with asyncio.timeout(patience):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@asynccontextmanager
async def browsers(*places: tuple[Process, str]) -> AsyncIterator[list[Browser]]:
    """Open the lobby in a browser each, at a process and for somebody by name."""
    opened = [Browser(*place) for place in places]
    for browser in opened:
        await browser.__aenter__()
    try:
        yield opened
    finally:
        for browser in opened:
            with suppress(Exception):
                await browser.disconnect()
