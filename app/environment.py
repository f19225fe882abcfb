"""Where settings come from besides the environment's variables: files of secrets, and names from before."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import AliasChoices

# What settings were called before, by the names they have now. The old ones are accepted for one release.
FORMER_NAMES = {
    "PARLOR_POLL_SECONDS": "PARLOR_LOOK_SECONDS",
    "PARLOR_PENDING_REQUESTS_PER_ADDRESS": "PARLOR_UNFINISHED_PER_ADDRESS",
    "PARLOR_MAX_ROOMS": "PARLOR_ROOMS_MOST",
}


def either(name: str) -> AliasChoices:
    """Return what a renamed setting may be called."""
    return AliasChoices(name, FORMER_NAMES[name])


def former_names(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each setting in `environment` that is called otherwise now."""
    return [
        f"{former} is called {name} now. The old name works in this release, and not in the next."
        for name, former in FORMER_NAMES.items()
        if former in environment
    ]


def secret_folders(environment: Mapping[str, str]) -> list[str]:
    """Return the folders of settings in files: Docker's secrets, systemd's credentials.

    https://docs.docker.com/compose/how-tos/use-secrets/ and https://systemd.io/CREDENTIALS/
    """
    places = ("/run/secrets", environment.get("CREDENTIALS_DIRECTORY", ""))
    return [place for place in places if place and Path(place).is_dir()]
