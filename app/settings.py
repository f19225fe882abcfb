"""Every setting: its name, its unit, its reason.

Each is an environment variable, `PARLOR_` and the name in capitals; `docs/configuration.md` lists them all.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.environment import either, secret_folders

SQLITE_FILE = "parlor.db"
KEY_FILE = "secret.key"
# Other names of the supported databases in URLs.
DATABASES = {"postgres": "postgresql", "postgresql+asyncpg": "postgresql", "sqlite+aiosqlite": "sqlite"}

PRIVATE = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10"
ORIGIN = re.compile(r"https?://[^/?#]+", re.IGNORECASE)
HOST_NAME = re.compile(r"(?!-)[a-z0-9-]+(\.[a-z0-9-]+)*", re.IGNORECASE)

# A list is written as one line, `a,b`: pydantic-settings would want JSON.
Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """The settings of one installation. Wrong values stop the start, by name."""

    model_config = SettingsConfigDict(
        env_prefix="PARLOR_",
        secrets_dir=secret_folders(os.environ),
        frozen=True,
        extra="ignore",
        populate_by_name=True,
    )

    # Where it runs
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("PARLOR_PORT", "PORT"),
        description="Port to listen on; `PORT` sets it too. 0 takes any free one.",
    )
    data_dir: Path = Field(Path("data"), description="Folder of the database and the key.")
    database_url: str = Field(
        "",
        repr=False,  # there may be a password in it
        description="`postgresql://…` or `sqlite:///…`; empty is SQLite in the data folder.",
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs the cookies; empty takes the key file in the data folder, made on first start.",
    )
    trusted_proxies: str = Field(
        "127.0.0.1,::1",
        description="Addresses of proxies whose X-Forwarded headers are believed, with commas between.",
    )
    allowed_hosts: Words = Field(
        (),
        description="Names under which this server may be called, with commas between; `*` is any. Plain addresses, "
        "localhost and this machine's own name always may.",
    )
    allowed_origins: Words = Field(
        (),
        description="Other origins that may use this server from a browser, with commas between. `*` is refused.",
    )
    metrics_from: str = Field(
        PRIVATE,
        description="Addresses and networks that may read /metrics, with commas between; `*` is any.",
    )
    metrics_token: SecretStr | None = Field(
        None, min_length=16, description="Who sends it, as `Authorization: Bearer …`, may read /metrics from anywhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    log_format: Literal["text", "json"] = Field("text", description="How a line of the log looks.")

    # What people see
    title: str = Field("Parlor", min_length=1, max_length=40, description="Name of this chat.")
    lobby: str = Field("Lobby", min_length=1, max_length=40, description="Name of the first room, when it is made.")
    time_zone: str = Field("UTC", description="Time zone of those who did not choose one, as in `Europe/Berlin`.")
    group_minutes: float = Field(
        5, ge=0, description="Longest pause, in minutes, between messages that are shown as one group."
    )
    page_size: int = Field(50, ge=1, le=500, description="Messages on a page, and in each older part that loads.")
    open_page_size: int = Field(
        100,
        ge=100,  # more than the highest window shows
        description="Newest messages that a page keeps while it stays open. Older ones load again.",
    )
    resume_limit: int = Field(
        500,
        ge=0,
        description="Missed messages sent after an outage; of more, the newest page, and a gap that loads on demand.",
    )
    members_shown: int = Field(100, ge=1, description="Names in the list of who is here; the rest is counted.")

    # What people may do
    message_length: int = Field(4000, ge=1, le=20_000, description="Longest message, in characters.")
    edit_minutes: float | None = Field(None, ge=0, description="Minutes for which a message can be edited.")
    name_length: int = Field(40, ge=1, le=100, description="Longest name of a member or a room, in characters.")
    name_held_days: float = Field(
        30, ge=1, description="Days for which a name belongs to a member who does not come back."
    )
    session_days: float = Field(365, gt=0, description="Days for which a browser keeps its name without a visit.")
    messages_per_second: float = Field(1, gt=0, description="Messages a member may send per second, in the long run.")
    messages_burst: int = Field(20, ge=1, description="Messages a member may send at once, after a pause.")
    everybody_per_hour: float = Field(4, gt=0, description="Times an hour that a member may write @room, on average.")
    everybody_burst: int = Field(2, ge=1, description="Times in a row that a member may write @room, after a pause.")
    address_messages_per_second: float = Field(
        50, gt=0, description="Messages that may come per second from one address, in the long run."
    )
    address_messages_burst: int = Field(
        1000, ge=1, description="Messages that may come at once from one address, after a pause."
    )
    creations_per_minute: float = Field(
        10, gt=0, description="Names and rooms that one address may try to have per minute, in the long run."
    )
    creations_burst: int = Field(
        600, ge=1, description="Names and rooms that one address may try to have at once: a whole event behind one."
    )
    rooms_per_day: float = Field(
        20, gt=0, description="Rooms that may be made per day from one address, in the long run."
    )
    rooms_burst: int = Field(5, ge=1, description="Rooms that may be made at once from one address, after a pause.")
    max_rooms: int = Field(
        1000,
        ge=1,
        validation_alias=either("PARLOR_MAX_ROOMS"),
        description="Rooms that there may be; who asks for more is refused.",
    )
    frames_per_second: float = Field(
        20, gt=0, description="Frames that are read per second from one browser, in the long run; more have to wait."
    )
    frames_burst: int = Field(200, ge=1, description="Frames that are read at once from one browser, after a pause.")
    bytes_per_second: float = Field(
        50_000, gt=0, description="Bytes that are read per second from one browser, in the long run; more have to wait."
    )
    bytes_burst: int = Field(
        2_000_000, ge=1, description="Bytes that are read at once from one browser, after a pause."
    )
    resumes_per_second: float = Field(
        20, gt=0, description="Pages brought up to date per second for one address, in the long run; more have to wait."
    )
    resumes_burst: int = Field(
        1000, ge=1, description="Pages brought up to date at once for one address: a whole event after a restart."
    )
    reads_per_second: float = Field(
        50, gt=0, description="Pages and parts of history that one address may ask for per second, in the long run."
    )
    reads_burst: int = Field(
        3000, ge=1, description="Pages and parts of history that one address may ask for at once, after a pause."
    )
    connections_per_address: int = Field(1000, ge=1, description="Open sockets from one address.")
    pending_requests_per_address: int = Field(
        500,
        ge=1,
        validation_alias=either("PARLOR_PENDING_REQUESTS_PER_ADDRESS"),
        description="Connections from one address that have not brought a whole request yet.",
    )
    request_seconds: float = Field(15, gt=0, description="Seconds in which a request has to be there as a whole.")
    frame_length: int = Field(
        400_000, ge=200_000, description="Longest frame from a browser, in characters: all its unsent drafts together."
    )

    # Keeping in touch
    reconnect_delay: float = Field(
        0.5, gt=0, le=0.75, description="Seconds until a browser first tries to reconnect, give or take 30 %."
    )
    reconnect_max_delay: float = Field(
        1.0,
        gt=0,
        le=2.3,
        description="Longest wait between two tries, in seconds, give or take 30 %: 3 seconds at most.",
    )
    heartbeat: float = Field(5, gt=0, description="Seconds between two signs of life to every browser.")
    stale_after: float = Field(12, gt=0, description="Seconds of silence until a page says that it connects (yellow).")
    lost_after: float = Field(27, gt=0, description="Seconds of silence until a page says it is disconnected (red).")
    presence_grace: float = Field(
        10, ge=0, description="Seconds for which somebody who disconnects still counts as here."
    )
    outbox_length: int = Field(
        1_000_000, ge=10_000, description="Characters that may wait for one browser before it is cut off."
    )
    stall_seconds: float = Field(
        7, gt=0, description="Seconds for which a browser may take nothing before it is cut off."
    )
    lock_wait_seconds: float = Field(
        5, gt=0, le=60, description="Seconds for which a write may wait for a database that somebody else writes to."
    )
    poll_seconds: float = Field(
        2,
        gt=0,
        le=10,
        validation_alias=either("PARLOR_POLL_SECONDS"),
        description="Seconds between two looks at what other processes have done, with PostgreSQL: what a lost "
        "notification costs at most.",
    )
    drain_seconds: float = Field(
        0, ge=0, le=300, description="Seconds for which a process that is to stop serves on, while /readyz says 503."
    )
    shutdown_seconds: int = Field(10, ge=0, description="Seconds that a stop may take after that.")

    @field_validator("allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # Our answers depend on a cookie, so the sites that may read them must be named.
        if "*" in value:
            raise ValueError("name the origins; * would let any site act for your members")
        for origin in value:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(f"an origin looks like https://chat.example.org, without a path; not like {origin}")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if host != "*" and not HOST_NAME.fullmatch(host):
                raise ValueError(f"a host looks like chat.example.org, without a scheme or a port; not like {host}")
        return tuple(host.lower() for host in value)

    @field_validator("database_url")
    @classmethod
    def _is_served(cls, value: str) -> str:
        scheme, _, rest = value.partition("://")
        url = f"{DATABASES.get(scheme, scheme)}://{rest}" if value else ""
        if url and not url.startswith(("postgresql://", "sqlite:///")):
            raise ValueError("it must begin with postgresql:// or sqlite:///")
        return url

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("not a known time zone")
        return value

    @field_validator("secret_key", "metrics_token", "edit_minutes", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.heartbeat < self.stale_after < self.lost_after:
            raise ValueError("heartbeat, stale_after and lost_after must grow in this order")
        if self.reconnect_delay > self.reconnect_max_delay:
            raise ValueError("reconnect_delay must not be longer than reconnect_max_delay")
        return self

    @property
    def store_url(self) -> str:
        """The URL of the database in force: `postgresql://…`, as libpq takes it, or `sqlite:///…`."""
        return self.database_url or f"sqlite:///{self.data_dir / SQLITE_FILE}"

    @property
    def is_shared(self) -> bool:
        """Whether other processes may serve the same log."""
        return self.store_url.startswith("postgresql://")

    @property
    def database_folder(self) -> Path | None:
        """The folder of the SQLite file; None for a database server."""
        return None if self.is_shared else Path(urlsplit(self.store_url).path.removeprefix("/")).parent

    @property
    def key_file(self) -> Path:
        """Where the key is kept, when it is not set."""
        return self.data_dir / KEY_FILE

    @property
    def group_window(self) -> timedelta:
        """Longest pause within a group."""
        return timedelta(minutes=self.group_minutes)

    @property
    def edit_window(self) -> timedelta | None:
        """How long a message can be edited; None: always."""
        return None if self.edit_minutes is None else timedelta(minutes=self.edit_minutes)

    @property
    def session_lifetime(self) -> timedelta:
        """How long a cookie is accepted."""
        return timedelta(days=self.session_days)
