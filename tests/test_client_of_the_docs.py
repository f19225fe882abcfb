"""The client in docs/frames.md, as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import httpx2

from tests.server import PATIENCE, ROOT, serving


def test_the_documented_client_posts_and_shows_changes(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "frames.md").read_text(), re.DOTALL)
    with serving(tmp_path / "data") as server:
        file = tmp_path / "client.py"
        file.write_text(source.replace('HOST = "127.0.0.1:8000"', f'HOST = "{server.host}"'))
        client = subprocess.Popen(
            [sys.executable, "-u", file, "Ann", "Hello, *you*!"], stdout=subprocess.PIPE, text=True
        )
        assert client.stdout
        try:
            assert client.stdout.readline() == "1: Hello,  you !\n"
            with httpx2.Client(base_url=server.url, timeout=PATIENCE) as bob:
                bob.post("/name", data={"name": "Bob"})
                bob.post("/rooms/lobby/messages/1", data={"react": "👍"})
                assert client.stdout.readline().split() == ["1:", "Hello,", "you", "!", "👍", "1", "👍", "1", "Bob"]
                bob.post("/rooms/lobby/messages", data={"message": "hi"})
                assert client.stdout.readline() == "3: hi\n"
        finally:
            client.kill()
            client.communicate()
