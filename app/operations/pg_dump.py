"""Runs pg_dump and pg_restore, PostgreSQL's own programs for backups.

https://www.postgresql.org/docs/current/backup-dump.html
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

from app.operations.commands import CommandError

ASIDE = "before_restore_"  # what the schemas are called that restoring leaves behind, and no backup has
PASSWORD = re.compile(r"(postgresql://[^:@/?#]*):([^@/?#]*)@")
WHOEVER = ("--no-owner", "--no-privileges")  # may restore it, to whichever account


def dump(url: str, file: Path) -> None:
    """Dump the database at `url`, as of this moment, into `file`. No user of it waits."""
    # Unlogged tables are worth nothing without the processes that wrote them.
    left_out = ("--no-unlogged-table-data", f"--exclude-schema={ASIDE}*")
    _run(url, "pg_dump", "--format=custom", *WHOEVER, *left_out, f"--file={file}")


def check(file: Path) -> None:
    """Return where `file` is a backup of ours that can be read; raises `CommandError`."""
    if " TABLE DATA public messages " not in _run("", "pg_restore", "--list", str(file)):
        raise CommandError(f"{file} is no backup of Parlor's.")


def load(file: Path, url: str) -> None:
    """Put all that is in `file` into the database at `url`, or nothing."""
    _run(url, "pg_restore", *WHOEVER, "--exit-on-error", "--single-transaction", str(file))


def _run(url: str, program: str, *arguments: str) -> str:
    """Run a program on the database at `url`, if any, and return what it says; raises `CommandError`."""
    address, password = without_password(url)
    command = [program, *arguments, *([f"--dbname={address}"] if url else [])]
    if not shutil.which(program):
        raise CommandError(
            f"{program} is not installed here. Install PostgreSQL's client programs, at least as new as its server "
            f"(Debian: postgresql-client), or run this where they are: {shlex.join(command)}"
        )
    environment = os.environ | ({"PGPASSWORD": password} if password else {})
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603 our own words
    if ended.returncode:
        raise CommandError(f"{program} failed: {' '.join(ended.stderr.split())}")
    return ended.stdout


def without_password(url: str) -> tuple[str, str]:
    """Return `url` without the password in it, and that: a command line is for everybody on a machine to read."""
    found = PASSWORD.match(url)
    return (f"{found[1]}@{url[found.end() :]}", unquote(found[2])) if found else (url, "")
