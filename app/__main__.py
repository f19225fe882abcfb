"""The command line: `python -m app`."""

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from app.events import set_up_logging
from app.serving import reload, serve
from app.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    chosen = parser().parse_args(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        print(f"These settings cannot be used:\n{complaints(error)}", file=sys.stderr)
        return 2
    set_up_logging(settings.log_level, settings.log_format)
    return reload(settings) if chosen.reload else serve(settings)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Parlor, a chat driven by the server.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve_parser = commands.add_parser("serve", help="serve the chat until stopped")
    serve_parser.add_argument("--reload", action="store_true", help="start again whenever a file changes")
    return parser


def complaints(error: ValidationError) -> str:
    """Return what is wrong with the settings, a line each, by the names that operators know."""
    return "\n".join(f"  {_variable(each['loc'])}{each['msg']}" for each in error.errors())


def _variable(location: tuple[int | str, ...]) -> str:
    """Return the environment variable of a field, or nothing where a complaint is about several."""
    name = str(location[0]).upper() if location else ""
    prefix = "" if name in ("", "PORT") or name.startswith("PARLOR_") else "PARLOR_"
    return f"{prefix}{name}: " if name else ""


if __name__ == "__main__":
    sys.exit(main())
