"""Static files: what is served, compressed or not, and for how long."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.html.assets import Assets, takes_gzip

SHEET = b"a { color: red }\n" * 50
FILES = {
    "css/a.css": SHEET,
    "vendor/a.js": b"go()" * 50,
    "a.svg": b"<svg/>",
    "LICENSE": b"free",
    "picture.png": b"\x89PNG",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def files(folder: Path) -> Iterator[TestClient]:
    """A server of these files alone."""
    assets, app = Assets(folder), FastAPI()
    app.add_api_route("/s/{path:path}", assets.get, methods=["GET", "HEAD"])
    with TestClient(app, headers={"Accept-Encoding": "identity"}) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("css/a.css", "text/css; charset=utf-8"),
        ("vendor/a.js", "text/javascript; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("LICENSE", "text/plain; charset=utf-8"),
        ("picture.png", "image/png"),
    ],
)
def test_a_file_is_served_as_it_is_and_for_good(files: TestClient, path: str, media_type: str) -> None:
    answer = files.get(f"/s/{path}")
    assert answer.content == FILES[path]
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in answer.headers
    head = files.head(f"/s/{path}")
    assert (head.content, head.headers) == (b"", answer.headers)


@pytest.mark.parametrize("path", ["css/none.css", "css", "css/", "", "../secret", "%2e%2e/secret", "css/../../secret"])
def test_there_is_nothing_else(files: TestClient, folder: Path, path: str) -> None:
    (folder.parent / "secret").write_text("secret")
    answer = files.get(f"/s/{path}")
    assert answer.status_code == 404
    assert "cache-control" not in answer.headers


def test_a_file_is_compressed_if_the_client_accepts_it(files: TestClient) -> None:
    with files.stream("GET", "/s/css/a.css", headers={"Accept-Encoding": "br, gzip"}) as answer:
        sent = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(sent) < len(SHEET) / 5
    assert gzip.decompress(sent) == SHEET


@pytest.mark.breaks("app/html/assets.py", "if len(content) <= WORTHWHILE * len(files[name])", "if content")
def test_incompressible_files_are_not_compressed(files: TestClient) -> None:
    answer = files.get("/s/picture.png", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_known_file_is_not_modified(files: TestClient, coding: str) -> None:
    answer = files.get("/s/css/a.css", headers={"Accept-Encoding": coding})
    again = files.get("/s/css/a.css", headers={"Accept-Encoding": coding, "If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("cache-control", "etag", "vary"):
        assert again.headers[name] == answer.headers[name]


def test_another_coding_is_another_representation(files: TestClient) -> None:
    etags = {files.get("/s/css/a.css", headers={"Accept-Encoding": each}).headers["etag"] for each in ("gzip", "br")}
    assert len(etags) == 2
    assert all(re.fullmatch('"[0-9a-f]{24}"', etag) for etag in etags)


# Accept-Encoding as in RFC 9110, 12.5.3.
@pytest.mark.parametrize(
    ("accepted", "does"),
    [
        ("gzip", True),
        ("br, gzip, deflate", True),
        ("GZIP;q=0.5", True),
        ("gzip; q=1.0", True),
        ("*", True),
        ("identity, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("br", False),
        ("identity", False),
        ("", False),
        ("gzipped", False),
    ],
)
def test_clients_that_accept_gzip(accepted: str, does: bool) -> None:
    assert takes_gzip(accepted) is does


def test_addresses_change_with_the_files(folder: Path) -> None:
    prefixes = {Assets(folder).prefix, Assets(folder).prefix}
    assert len(prefixes) == 1
    assert re.fullmatch("/static/[0-9a-f]{12}", Assets(folder).prefix)
    (folder / "css/a.css").write_text("b {}")
    prefixes.add(Assets(folder).prefix)
    (folder / "css/a.css").rename(folder / "css/b.css")
    prefixes.add(Assets(folder).prefix)
    assert len(prefixes) == 3


def test_a_page_finds_its_files(client: TestClient) -> None:
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/").text)
    assert addresses
    for address in addresses:
        assert client.get(address).is_success
        assert client.post(address).status_code == 405
