"""The command line: `python -m app`.

Exit statuses: 0 done; 1 failed, or the doctor found a fault; 2 the settings cannot be used.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from dotenv import load_dotenv
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from app.environment import former_names
from app.log import set_up_logging
from app.operations.backup import backup
from app.operations.commands import CommandError, confirm_account, reason
from app.operations.copy_to_postgresql import copy
from app.operations.doctor import doctor
from app.operations.doctor.checks import status
from app.operations.migrating import migrate
from app.operations.removing import remove_room
from app.operations.restore import renew, restore
from app.operations.serving import reload, serve
from app.operations.workers import serve_together
from app.settings import Settings

Command = Callable[[Settings, argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    chosen = parser().parse_args(arguments)
    try:
        if chosen.env_file:
            read_environment(chosen.env_file)
        settings = Settings()
    except ValidationError as error:
        print(f"These settings cannot be used:\n{complaints(error)}", file=sys.stderr)
        return 1 if chosen.run is _doctor else 2
    except OSError as error:
        print(f"The settings cannot be read: {error}", file=sys.stderr)
        return 2
    for warning in former_names(os.environ):
        print(warning, file=sys.stderr)
    return attempt(chosen.run, settings, chosen)


def attempt(run: Command, settings: Settings, chosen: argparse.Namespace) -> int:
    """Run a command; if it fails, print why in a line."""
    try:
        return run(settings, chosen)
    except CommandError as error:
        print(error, file=sys.stderr)
    except (SQLAlchemyError, OSError) as error:
        print(f"This did not work: {reason(error)}.", file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
    return 1


def read_environment(path: Path) -> None:
    """Read settings from the file at `path`, as systemd's `EnvironmentFile`. The environment takes precedence."""
    with nullcontext(sys.stdin) if str(path) == "-" else path.open() as lines:
        load_dotenv(stream=lines, override=False, interpolate=False)


# The words of the command line


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Parlor, a chat driven by the server. Settings are environment variables: docs/configuration.md.",
        epilog="Exit status: 0 done; 1 not done, or something is wrong; 2 it cannot even be tried, or told.",
    )
    parser.add_argument("--env-file", type=Path, metavar="FILE", help="take settings from FILE; - is the input")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Command, words: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=words, description=words.capitalize() + ".")
        added.set_defaults(run=run)
        return added

    serving = add("serve", _serve, "serve the chat until stopped")
    how = serving.add_mutually_exclusive_group()
    how.add_argument("--reload", action="store_true", help="start again whenever a file changes")
    how.add_argument("--workers", type=count, default=1, metavar="N", help="processes that serve, on PostgreSQL")
    add("migrate", _migrate, "bring the database to its newest shape")
    backing_up = add("backup", _backup, "write a backup while the chat goes on, and the key beside it")
    backing_up.add_argument("file", type=Path, metavar="FILE", help="where to; the key goes to FILE.key")
    backing_up.add_argument("--force", action="store_true", help="replace FILE where it is there")
    restoring = add("restore", _restore, "put a backup in the place of the database, which is kept aside")
    restoring.add_argument("file", type=Path, metavar="FILE", help="the backup; FILE.key is its key")
    add("renew", _renew, "give the log a new epoch, where it was put back by other means than restore")
    copying = add("copy", _copy, "copy a SQLite file with everything in it to PostgreSQL, and compare")
    copying.add_argument(
        "--to", required=True, metavar="URL", help="an empty database: postgresql://name@host/database"
    )
    copying.add_argument("--from", type=Path, metavar="FILE", dest="file", help="instead of the configured database")
    rooms = commands.add_parser("room", help="remove a room", description="What can be done to a room.")
    of_rooms = rooms.add_subparsers(dest="action", required=True, metavar="ACTION")
    words = "remove a room and everything said in it, for good, while the chat goes on"
    removing = of_rooms.add_parser("remove", help=words, description=words.capitalize() + ".")
    removing.add_argument("slug", metavar="SLUG", help="its address: of /rooms/watercooler, watercooler")
    removing.set_defaults(run=_remove_room)
    add("doctor", _doctor, "say what is configured, reachable, sane, and how to mend what is not")
    return parser


def count(text: str) -> int:
    """Return the whole number in `text`, 1 or more; raises `ValueError`."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def _serve(settings: Settings, chosen: argparse.Namespace) -> int:
    set_up_logging(settings.log_level, settings.log_format)
    if chosen.reload:
        return reload(settings)
    return serve(settings) if chosen.workers == 1 else serve_together(settings, chosen.workers)


def _migrate(settings: Settings, _: argparse.Namespace) -> int:
    return tell(settings, migrate(settings))


def _backup(settings: Settings, chosen: argparse.Namespace) -> int:
    return tell(settings, backup(settings, chosen.file, chosen.force))


def _restore(settings: Settings, chosen: argparse.Namespace) -> int:
    return tell(settings, restore(settings, chosen.file))


def _renew(settings: Settings, _: argparse.Namespace) -> int:
    return tell(settings, renew(settings))


def _copy(settings: Settings, chosen: argparse.Namespace) -> int:
    return tell(settings, copy(settings, chosen.to, chosen.file))


def _remove_room(settings: Settings, chosen: argparse.Namespace) -> int:
    return tell(settings, remove_room(settings, chosen.slug))


def _doctor(settings: Settings, _: argparse.Namespace) -> int:
    findings = []
    for finding in doctor.examine(settings):
        print(finding, flush=True)
        findings.append(finding)
    return status(findings)


def tell(settings: Settings, sentences: Iterable[str]) -> int:
    """Print each step when it is done; return the exit status."""
    confirm_account(settings.data_dir)
    for sentence in sentences:
        print(sentence, flush=True)
    return 0


# Settings that cannot be used


def complaints(error: ValidationError) -> str:
    """Return the errors in the settings, a line each, by environment variable."""
    return "\n".join(f"  {_variable(each['loc'])}{each['msg']}" for each in error.errors())


def _variable(location: tuple[int | str, ...]) -> str:
    """Return the environment variable of a field; empty if an error concerns several."""
    name = str(location[0]).upper() if location else ""
    prefix = "" if name in ("", "PORT") or name.startswith("PARLOR_") else "PARLOR_"
    return f"{prefix}{name}: " if name else ""


if __name__ == "__main__":
    sys.exit(main())
