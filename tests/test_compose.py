"""deploy/compose.yaml: what it says agrees with the images, the application, the nginx site and itself.

Docker's own client reads it where that is installed. Nothing here starts a container.
"""

import os
import re
import shutil
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from app.store.store import Store, utc_now
from tests.postgres import Cluster, programs
from tests.site import DEPLOY, ROOT, SITE, replaced

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
APPS = ["app-1", "app-2"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
INIT = (DEPLOY / "postgresql" / "init.sh").read_text()
GUIDE = (ROOT / "docs" / "operating.md").read_text()

# https://docs.docker.com/reference/compose-file/services/: those that we need.
KEYS = {
    *("build", "cap_drop", "depends_on", "environment", "healthcheck", "image", "networks", "ports", "read_only"),
    *("restart", "secrets", "security_opt", "stop_grace_period", "ulimits", "volumes"),
}

ROLE = """
SELECT rolcanlogin AND rolpassword IS NOT NULL AND NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication)
FROM pg_authid WHERE rolname = 'chat'
"""


def address(service: str) -> str:
    return str(SERVICES[service]["networks"]["default"]["ipv4_address"])


def secrets(service: str) -> set[str]:
    return {each if isinstance(each, str) else each["source"] for each in SERVICES[service].get("secrets", [])}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_known_keys_and_is_started_stopped_and_asked_how_it_is(service: str) -> None:
    found = SERVICES[service]
    assert set(found) <= KEYS
    assert found["restart"] == "unless-stopped"
    assert int(found["stop_grace_period"].removesuffix("s")) > Settings.model_fields["shutdown_seconds"].default
    assert found["healthcheck"]["test"][0] == "CMD"
    for other, how in found.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert other in SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_built_here_or_has_a_name_and_a_version(service: str) -> None:
    image, build = SERVICES[service]["image"], SERVICES[service].get("build")
    if build is None:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+", image)
    else:
        assert re.fullmatch(r"[a-z-]+", image)
        assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
        assert f" AS {build['target']}\n" in DOCKERFILE


def test_both_processes_are_the_same_but_for_their_address() -> None:
    one, other = ({**SERVICES[app], "networks": None} for app in APPS)
    assert one == other
    assert address("app-1") != address("app-2")


def test_no_secret_stands_in_the_file() -> None:
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert f">secrets/{name}" in GUIDE
    assert set().union(*map(secrets, SERVICES)) == set(COMPOSE["secrets"])
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            secret = re.search("PASSWORD|SECRET|KEY|URL", name)
            assert not secret or value.startswith("/run/secrets/"), name


def test_the_application_finds_its_secrets_by_their_names() -> None:
    targets = {each["target"].removeprefix("parlor_") for each in SERVICES["app-1"]["secrets"]}
    assert targets == {"database_url"}
    assert targets <= set(Settings.model_fields)


def test_nginx_is_believed_and_asks_both_processes() -> None:
    network = ip_network(COMPOSE["networks"]["default"]["ipam"]["config"][0]["subnet"])
    assert all(ip_address(address(service)) in network for service in [*APPS, "nginx"])
    assert SERVICES["app-1"]["environment"]["PARLOR_TRUSTED_PROXIES"] == address("nginx")
    changes = re.findall(r"-e 's/(.+?)/(.+?)/'", GUIDE)
    assert len(changes) == 3
    site = SITE
    for old, new in changes:
        site = re.sub(old, new, site)
    assert re.findall(r"^    server ([\d.:]+) ", site, re.MULTILINE) == [f"{address(app)}:8000" for app in APPS]
    assert "example.org" not in site
    assert "server_name your.name;" in site


def test_mounted_paths_exist_or_are_created_by_the_guide() -> None:
    mounted = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", [])]
    for source, target, *_ in mounted:
        assert target.startswith("/")
        if source.startswith("./"):
            assert (DEPLOY / source).exists() or f">{source[2:]}" in GUIDE
        else:
            assert source.startswith("/") or source in COMPOSE["volumes"]


def test_the_nginx_image_contains_all_included_files() -> None:
    stage = re.search(r"^FROM nginx.*?(?=^FROM)", DOCKERFILE, re.DOTALL | re.MULTILINE)
    assert stage
    for path in re.findall(r"/opt/parlor/[\w/.-]+\w", SITE):
        assert f"COPY {path.removeprefix('/opt/parlor/')} {path.rpartition('/')[0]}/" in stage[0]
    assert "COPY static /opt/parlor/static" in stage[0]
    sizes = re.findall(r"worker_\w+ \d+s?;", stage[0])
    deployment = (ROOT / "docs" / "deployment.md").read_text()
    assert len(sizes) == 3
    assert all(size in deployment for size in sizes)


def test_the_database_is_prepared_for_a_role_that_owns_it_and_no_more(tmp_path: Path, postgres: Cluster) -> None:
    # The tests' own superuser is called parlor.
    script, password = tmp_path / "init.sh", tmp_path / "password"
    script.write_text(
        replaced(INIT, {"ROLE parlor": "ROLE chat", "DATABASE parlor OWNER parlor": "DATABASE chat OWNER chat"})
    )
    password.write_text("it's secret\n")
    path = f"{programs()}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["sh", script],
        env=os.environ
        | {"PATH": path, "PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGOPTIONS": "-c log_statement=none"}
        | {"POSTGRES_USER": "parlor", "DATABASE_PASSWORD_FILE": str(password)},
        check=True,
        capture_output=True,
    )
    assert postgres.sql(ROLE) == ["t"]
    assert postgres.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'chat'") == ["chat"]


async def test_the_documented_role_is_sufficient(postgres: Cluster) -> None:
    postgres.sql("CREATE ROLE owner LOGIN")
    postgres.sql("CREATE DATABASE owned OWNER owner TEMPLATE template0 ENCODING 'UTF8'")
    async with Store(postgres.url("owned").replace("parlor@", "owner@"), utc_now).opened("Lobby") as store:
        assert [room.name for room in await store.rooms()] == ["Lobby"]
    postgres.drop("owned")


def has_compose() -> bool:
    """Whether Docker's client is installed, with its plugin."""
    command = ["docker", "compose", "version"]
    return bool(shutil.which("docker")) and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_docker_understands_the_file() -> None:
    environment = os.environ | {"PARLOR_ALLOWED_HOSTS": "chat.example.org"}
    command = ["docker", "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
