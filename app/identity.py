"""A member <-> a signed cookie.

The cookie says who somebody is; it is signed, not secret. Whether it still holds (the member may have been
renamed since) is for the one who has the store to say.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe
from tempfile import mkstemp

from itsdangerous import BadData, URLSafeTimedSerializer

from app.messages import Member

SALT = "parlor.member"


@dataclass(frozen=True, slots=True)
class Session:
    """Who a cookie says somebody is, and since when."""

    member: Member
    signed_at: datetime


class Signer:
    """Signs with the newest of `keys`, and accepts what any of them has signed (oldest first)."""

    def __init__(self, keys: Sequence[str], lifetime: timedelta) -> None:
        self._serializer = URLSafeTimedSerializer(list(keys), salt=SALT)
        self._lifetime = lifetime

    def sign(self, member: Member) -> str:
        """Return the cookie's value for `member`."""
        return self._dump(asdict(member))

    def read(self, cookie: str) -> Session | None:
        """Return the session that `cookie` holds; None where it is forged, damaged or too old."""
        try:
            fields, signed_at = self._serializer.loads(
                cookie, max_age=int(self._lifetime.total_seconds()), return_timestamp=True
            )
            return Session(Member(**fields), signed_at)
        except (BadData, TypeError):
            return None

    def _dump(self, fields: dict[str, str]) -> str:
        value = self._serializer.dumps(fields)
        return value if isinstance(value, str) else value.decode()


def read_keys(path: Path) -> list[str]:
    """Return the keys in the file at `path`, oldest first; make the file with a new key where there is none.

    One key a line: to change the key, add a line; to stop accepting the old one, remove its line. Raises
    `ValueError` where the file has none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make_key(path)
    keys = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if not keys:
        raise ValueError(f"there is no key in {path}: remove the file, and a new one is made")
    return keys


def _make_key(path: Path) -> None:
    # Written beside its place and then linked to it: the file is there with its key in it, or not at all, and
    # whoever starts at the same moment takes the one that came first. mkstemp makes it its owner's alone (600).
    handle, draft = mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
