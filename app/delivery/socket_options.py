"""What the kernel knows of a socket: how much it buffers, and whether the other side has hung up."""

import select
import socket
from typing import Any

UNSENT_BYTES = 16_384  # that the kernel buffers for one browser, before the rest waits here
UNREAD_BYTES = 65_536  # of one browser, here and as much again in the kernel, before it has to wait


def limit_buffers(connected: Any) -> None:
    """Have the kernel buffer little of a socket.

    By default it takes megabytes for a browser that reads nothing, and we would not notice. TCP_NOTSENT_LOWAT limits
    unsent bytes and slows nobody down. https://lwn.net/Articles/560082/
    """
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BYTES)  # one read takes all that is there
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def has_hung_up(connected: Any) -> bool:
    """Whether the other side has closed or reset the connection, behind bytes that nobody has read."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(connected.fileno(), getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))
