"""Events of one socket that its application has not received yet."""

import asyncio
from typing import Any

NOTHING = {"type": "websocket.receive"}  # says that there may be something to receive


class ReceiveQueue:
    """A queue with a single consumer, in place of `asyncio.Queue`.

    `asyncio.Queue` serves many on both sides and costs 3 kB of the 20 that a browser costs. The end of the connection
    comes last, even if it is known before other events were received.
    """

    def __init__(self) -> None:
        self._events: list[Any] = []  # one at most
        self._end: Any = None
        self._awaited: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        """Take an event."""
        if event["type"] == "websocket.disconnect":
            self._end = self._end or event
        else:
            self._events.append(event)
        if self._awaited and not self._awaited.done():
            self._awaited.set_result(None)

    def has_events(self) -> bool:
        """Whether there is something before the end."""
        return bool(self._events)

    def ask_again(self) -> None:
        """Wake the consumer, so that it looks again."""
        if self.empty():
            self.put_nowait(NOTHING)

    def empty(self) -> bool:
        """Whether nothing waits to be received."""
        return not self._events and not self._end

    async def get(self) -> Any:
        """Return the oldest event, as soon as there is one."""
        while self.empty():
            self._awaited = asyncio.get_running_loop().create_future()
            await self._awaited
        return self._events.pop(0) if self._events else self._end
