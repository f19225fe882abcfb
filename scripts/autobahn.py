"""Runs Autobahn's WebSocket suite on our protocol: `WSTEST=wstest python scripts/autobahn.py [case …]`.

The suite (`autobahntestsuite` on PyPI) is for Python 2.7 alone, so it is not among our tools: `WSTEST` is the command
that runs its `wstest`, wherever that is. (Version 25.10.1 came without a list of what it needs; autobahn 0.10.9,
twisted 16.6 and txaio 2.1 do.) It tries an endpoint that echoes: our protocol with an echo behind it, which
answers directly to the transport, compressed where that was agreed on. Arguments choose cases, like `1.*`; without,
all are tried.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from app.delivery.encoding import Encoding, Stream, encode  # noqa: E402
from app.delivery.http_protocol import HttpProtocol  # noqa: E402
from app.delivery.websocket_protocol import WebSocketProtocol, direct_transport  # noqa: E402

LOOPS = ("uvloop", "asyncio")
LARGEST = 2**25  # bytes of a message; the suite sends 2**24
PATIENCE = 30  # seconds for the server to listen
FINE = ("OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send back what comes."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    if (transport := direct_transport(scope)) is None:
        raise RuntimeError("this server gives no transport")
    stream = Stream()
    while (event := await receive())["type"] != "websocket.disconnect":
        if (text := event.get("text")) is None:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
        elif transport.encoding is Encoding.DEFLATED:
            transport.write(stream.frame(text.encode()))
        else:
            transport.write(encode(text, transport.encoding))


def serve(port: int, loop: str) -> None:
    """Serve the echo until stopped."""
    # The suite notes every frame that it did not ask for: no pings of our own.
    options: dict[str, Any] = {"ws_max_size": LARGEST, "ws_ping_interval": None, "log_level": "critical"}
    uvicorn.run(echo, port=port, loop=loop, http=HttpProtocol, ws=WebSocketProtocol, lifespan="off", **options)


@contextmanager
def serving(loop: str) -> Iterator[str]:
    """Run the echo in a process of its own; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(port), loop])
    try:
        await_port(port)
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def await_port(port: int) -> None:
    """Return when somebody listens there."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if monotonic() > deadline:
                raise
            sleep(0.05)


def try_cases(url: str, loop: str, cases: Sequence[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Run `cases`, and return what became of each."""
    specification = folder / "cases.json"
    specification.write_text(
        json.dumps(
            {"outdir": str(folder), "servers": [{"agent": loop, "url": url}], "cases": list(cases), "exclude-cases": []}
        )
    )
    command = [*shlex.split(os.environ["WSTEST"]), "-m", "fuzzingclient", "-s", str(specification)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, dict[str, Any]] = json.loads((folder / "index.json").read_text())[loop]
    return found


def report(loop: str, found: dict[str, dict[str, Any]]) -> bool:
    """Print what became of the cases, and return whether all are fine."""
    counts = Counter(case["behavior"] for case in found.values())
    print(f"{loop}: {len(found)} cases, " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    odd = {name: case for name, case in found.items() if {case["behavior"], case["behaviorClose"]} - {"OK"}}
    for name, case in odd.items():
        print(f"  {name}: {case['behavior']}, close {case['behaviorClose']} {case['remoteCloseCode']}")
    return all(case["behavior"] in FINE and case["behaviorClose"] in FINE for case in found.values())


def main(arguments: Sequence[str]) -> int:
    """Try the cases on both event loops; returns the exit status."""
    if arguments[:1] == ["--serve"]:
        serve(int(arguments[1]), arguments[2])
        return 0
    if "WSTEST" not in os.environ:
        print("WSTEST has to say how wstest is run: pip install autobahntestsuite, for Python 2.7", file=sys.stderr)
        return 2
    fine = []
    for loop in LOOPS:
        with TemporaryDirectory() as folder, serving(loop) as url:
            fine.append(report(loop, try_cases(url, loop, arguments or ["*"], Path(folder))))
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
