"""Static files: read and compressed once, at the start, and served from memory.

Their address changes whenever one of them does, so that browsers may keep them for good.
"""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from mimetypes import guess_type
from pathlib import Path

from fastapi import HTTPException, Request
from fastapi.responses import Response

from app.html.etags import is_among

CACHE = "public, max-age=31536000, immutable"
WORTHWHILE = 0.9  # of its size: a file that compresses less is sent plain
NEVER = re.compile(r"q=0(\.0{0,3})?")  # RFC 9110, 12.4.2


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent, in one coding; empty: as it is."""

    content: bytes
    etag: str
    media_type: str
    coding: str = ""


class Assets:
    """The files in a folder and its subfolders, as of its creation."""

    def __init__(self, folder: Path) -> None:
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.prefix = f"/static/{digest(files)}"  # of their addresses
        self._plain = {name: _asset(name, content) for name, content in files.items()}
        self._zipped = {name: _asset(name, zipped, "gzip") for name, zipped in _worthwhile(files).items()}

    async def get(self, request: Request, path: str) -> Response:
        """Return the file at `path`, compressed if that is smaller and accepted; else 404."""
        asset = self._plain.get(path)
        if asset is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        if takes_gzip(request.headers.get("Accept-Encoding", "")):
            asset = self._zipped.get(path, asset)
        headers = {"Cache-Control": CACHE, "ETag": asset.etag, "Vary": "Accept-Encoding"}
        if is_among(asset.etag, request.headers.get("If-None-Match", "")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if asset.coding:
            headers["Content-Encoding"] = asset.coding
        return Response(asset.content, headers=headers, media_type=asset.media_type)


def digest(files: Mapping[str, bytes]) -> str:
    """Return a short word that changes whenever a file does, or its name: part of every static address."""
    content = sha256()
    for name, text in sorted(files.items()):
        content.update(name.encode() + b"\0" + text)
    return content.hexdigest()[:12]


def takes_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` welcomes gzip: RFC 9110, 12.5.3."""
    codings = [each.partition(";") for each in accepted.lower().split(",")]
    weights = {coding.strip(): weight.strip() for coding, _, weight in codings}
    weight = weights.get("gzip", weights.get("*"))
    return weight is not None and not NEVER.fullmatch(weight)


def _worthwhile(files: Mapping[str, bytes]) -> dict[str, bytes]:
    zipped = {name: gzip.compress(content, mtime=0) for name, content in files.items()}
    return {name: content for name, content in zipped.items() if len(content) <= WORTHWHILE * len(files[name])}


def _asset(name: str, content: bytes, coding: str = "") -> Asset:
    return Asset(content, f'"{sha256(content).hexdigest()[:24]}"', guess_type(name)[0] or "text/plain", coding)
