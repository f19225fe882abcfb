"""A member <-> a signed cookie.

The cookie names a member and the version of their session. It is signed, not secret. The authenticator asks the store
whether that version still counts.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

from app.chat.messages import Member

SALT = "parlor.member"
HOST_SALT = "parlor.member.host"  # of a cookie that only this host can have set


@dataclass(frozen=True, slots=True)
class Session:
    """The member that a cookie names, and whether the cookie should be renewed."""

    member: Member
    is_due: bool


class Signer:
    """Signs with the newest of `keys` (oldest first), and accepts signatures of all of them within `lifetime`.

    Without keys it cannot be used until `use` gives it some.
    """

    def __init__(self, keys: Sequence[str], lifetime: timedelta) -> None:
        self._lifetime = lifetime
        if keys:
            self.use(keys)

    def use(self, keys: Sequence[str]) -> None:
        """Sign with the newest of `keys` from now on, and accept signatures of all."""
        self._newest, *self._older = (URLSafeTimedSerializer(key) for key in reversed(keys))
        self._clock = TimestampSigner(keys[-1])

    def sign(self, member: Member, salt: str = SALT) -> str:
        """Return the cookie's value for `member`, which is good for cookies of this `salt` alone."""
        fields = asdict(member)
        # The first version is left out, so that any release can read the cookie of a member who never renamed.
        return self._dump({name: value for name, value in fields.items() if name != "session" or value}, salt)

    def read(self, cookie: str, salt: str = SALT) -> Session | None:
        """Return the session that `cookie` holds; None if it is forged, damaged or too old."""
        for serializer in (self._newest, *self._older):
            # UnicodeError: half of a surrogate pair. TypeError: signed, but other fields than a member's.
            with suppress(BadData, UnicodeError, TypeError):
                fields, signed_at = serializer.loads(cookie, return_timestamp=True, salt=salt)
                return self._session(Member(**fields), self._age(signed_at), serializer is self._newest)
        return None

    def _session(self, member: Member, age: timedelta, by_newest: bool) -> Session | None:
        # A cookie from the future is valid, and is dated anew: the clock was set back, which is nobody's
        # fault. The serializer's own `max_age` would refuse it.
        texts = (member.id, member.name, member.time_zone)
        if not all(isinstance(text, str) for text in texts) or type(member.session) is not int:
            return None
        if age > self._lifetime:
            return None
        return Session(member, is_due=not by_newest or not timedelta(0) <= age <= self._lifetime / 4)

    def _age(self, signed_at: datetime) -> timedelta:
        return timedelta(seconds=self._clock.get_timestamp() - signed_at.timestamp())

    def _dump(self, fields: object, salt: str = SALT) -> str:
        value = self._newest.dumps(fields, salt)
        return value if isinstance(value, str) else value.decode()
