"""Checks this machine: folders, files, limits, a port."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from app.main import STATIC
from app.operations.commands import file_of
from app.operations.doctor.checks import Check, ok, unknown, warning, wrong
from app.settings import Settings
from app.web.keys import is_open_to_others, read_keys

VENDOR = ("htmx.min.js", "hx-csp.min.js", "hx-ws.min.js")
# On these, what two processes lock and map is not the same: SQLite's write-ahead log does not work.
# https://www.sqlite.org/wal.html#overview
NETWORK = {"9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs", "beegfs", "gpfs"}
MOUNTS = Path("/proc/self/mountinfo")
ENOUGH_SPACE, LEAST_SPACE = 2**30, 2**26  # bytes; the least is what some write-ahead logs take
ENOUGH_FILES = 16_384  # as many as nginx lets through, in our documentation
WAIT = 3.0  # seconds for an answer at the port


def examine(settings: Settings) -> Iterator[Check]:
    """Yield what is found on this machine."""
    yield from account()
    yield from folder(settings.data_dir)
    yield key(settings)
    yield vendor(STATIC / "vendor")
    yield from open_files()
    yield port(settings)
    yield proxies(settings)
    yield names(settings)


def account() -> Iterator[Check]:
    """Yield a warning where this is not run as the server is."""
    if os.name == "posix" and os.geteuid() == 0:
        yield warning("this runs as root, who may do everything.", "Run it as the account that the server runs as.")


def folder(path: Path) -> Iterator[Check]:
    """Yield whether files can be made in the folder at `path`, or the folder itself, and kept there."""
    there = nearest(path)
    if not there.is_dir():
        yield wrong(f"{there} is no folder.", "Move it away, or choose another folder as PARLOR_DATA_DIR.")
    elif not os.access(there, os.W_OK | os.X_OK):
        yield wrong(f"{there} cannot be written to.", "Give it to the account that the server runs as (chown).")
    else:
        yield ok(f"{path} can be written to." if there == path else f"{path} is not there yet; it can be made.")
        yield free_space(there)


def nearest(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that is there."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if each.exists())


def free_space(path: Path) -> Check:
    """Return whether there is room for what people say."""
    free = shutil.disk_usage(path).free
    seen = f"{free / 2**30:,.1f} GiB are free in {path}."
    if free < LEAST_SPACE:
        return wrong(seen, "Make room: soon nothing can be stored.")
    return warning(seen, "Make room before it is full.") if free < ENOUGH_SPACE else ok(seen)


def file_system(path: Path) -> Check:
    """Return whether the file system at `path` is fit for SQLite."""
    kind = kind_of_file_system(nearest(path).resolve())
    if not kind:
        return unknown(f"which file system {path} is on cannot be read here.", "SQLite needs a disk of this machine.")
    if kind.removeprefix("fuse.") in NETWORK | {"sshfs"}:
        return warning(f"{path} is on a network file system ({kind}).", "SQLite needs a disk of this machine.")
    return ok(f"{path} is on a file system of this machine ({kind}).")


def kind_of_file_system(path: Path) -> str:
    """Return the kind of file system that `path` is on, as the kernel calls it; an empty one where it does not say."""
    if not MOUNTS.exists():
        return ""
    kinds = {}
    for line in MOUNTS.read_text().splitlines():
        left, _, right = line.partition(" - ")
        # Blanks in it are written as octal numbers. https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
        place = left.split()[4].encode().decode("unicode_escape")
        kinds[Path(place)] = right.split()[0]  # of several at one place, the last is seen
    return next((kinds[each] for each in (path, *path.parents) if each in kinds), "")


def key(settings: Settings) -> Check:
    """Return whether there is a key that signs cookies, for the server alone to read."""
    path = settings.key_file
    if settings.secret_key:
        return ok("the key is set by PARLOR_SECRET_KEY.")
    if settings.is_shared:
        return ok("the key is in the database.")
    if not path.exists():
        return _missing_key(settings)
    if is_open_to_others(path):
        return wrong(f"{path}, the key that signs the cookies, can be read by others.", f"chmod 600 {path}")
    try:
        read_keys(path)
    except (OSError, ValueError) as error:
        return wrong(f"{path} cannot be used as the key: {error}.", "Give it to the server's account, mode 600.")
    return ok(f"{path} is for its owner alone to read.")


def _missing_key(settings: Settings) -> Check:
    database = file_of(settings.store_url)
    if database and database.exists():
        seen = f"{settings.key_file} is not there, though the database is: everybody will need a new name."
        return warning(seen, "Put the key of a backup there before the next start.")
    return ok(f"{settings.key_file} is not there yet; it is made at the first start.")


def vendor(path: Path) -> Check:
    """Return whether the files that browsers need are installed."""
    missing = [name for name in VENDOR if not (path / name).is_file()]
    if missing:
        return wrong(f"{', '.join(missing)} is missing in {path}: pages cannot talk to the server.", "make install")
    return ok(f"htmx is installed in {path}.")


def open_files() -> Iterator[Check]:
    """Yield how many files and sockets a process may have open here."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        seen = f"up to {most:,} files and sockets may be open, one for each browser."
        if most == resource.RLIM_INFINITY:
            yield ok("any number of files and sockets may be open.")
        elif most < ENOUGH_FILES:
            yield warning(seen, "Raise the limit: LimitNOFILE=65536 in systemd's unit, --ulimit with Docker.")
        else:
            yield ok(seen)


def port(settings: Settings) -> Check:
    """Return whether a server can listen where it should, or does so already."""
    if not settings.port:
        return ok("the server will take any free port.")
    place = f"{settings.host}:{settings.port}"
    try:
        answer = ask(settings.host, settings.port, "/healthz")
    except ConnectionRefusedError:
        return can_listen(settings.host, settings.port)
    except (OSError, HTTPException) as error:
        return wrong(f"something at {place} does not answer as Parlor does: {error}.", "Stop it, or set PARLOR_PORT.")
    if answer != "alive\n":
        return wrong(f"another program answers at {place}.", "Stop it, or choose another port as PARLOR_PORT.")
    if ask(settings.host, settings.port, "/readyz") != "ready\n":
        return wrong(f"the server at {place} is alive and cannot serve.", "Its log says why.")
    return ok(f"a server of ours answers at {place}, and is ready.")


def ask(host: str, port: int, path: str) -> str:
    """Return what a server here answers; raises `OSError` and `HTTPException`."""
    connection = HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=WAIT)  # noqa: S104
    try:
        connection.request("GET", path)
        return connection.getresponse().read(1000).decode(errors="replace")
    finally:
        connection.close()


def can_listen(host: str, port: int) -> Check:
    """Return whether a server could listen there."""
    place = f"{host}:{port}"
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return wrong(f"no server can listen at {place}: {error.strerror}.", "Set PARLOR_HOST and PARLOR_PORT.")
    return ok(f"{place} is free; no server runs there.")


def proxies(settings: Settings) -> Check:
    """Return whose word counts for where a browser comes from."""
    if "*" in settings.trusted_proxies:
        return warning("any proxy is believed: anybody can be any address.", "Name yours in PARLOR_TRUSTED_PROXIES.")
    return ok(f"proxies at {settings.trusted_proxies} are believed; others count as browsers.")


def names(settings: Settings) -> Check:
    """Return under which names the server may be called."""
    if not settings.allowed_hosts:
        return warning("no name is allowed: people get in by address only.", "Set PARLOR_ALLOWED_HOSTS to the chat's.")
    return ok(f"it may be called {', '.join(settings.allowed_hosts)}.")
