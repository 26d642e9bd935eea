"""Dockerfile and docker-compose.yml: what can be checked of them without building them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"web", "verifier", "worker", "beat", "migrate"}
every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_everything_the_product_needs_is_there() -> None:
    assert {*OURS, "postgres", "valkey"} == set(SERVICES)
    assert SERVICES["postgres"]["image"].startswith("postgres:18")
    assert SERVICES["valkey"]["image"].startswith("valkey/valkey:9")


@every_service
def test_no_service_is_root_or_may_become_it(name: str) -> None:
    service = SERVICES[name]
    if name not in OURS:  # ours have their user from the Dockerfile
        assert service["user"].split(":")[0] not in {"0", "root"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@every_service
def test_no_service_writes_to_its_own_image(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert "/tmp" in SERVICES[name]["tmpfs"]


@every_service
def test_every_service_that_stays_is_watched_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    if name == "migrate":
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", sorted(OURS - {"migrate"}))
def test_nothing_starts_before_the_database_is_migrated(name: str) -> None:
    needed = SERVICES[name]["depends_on"]
    assert needed["migrate"]["condition"] == "service_completed_successfully"
    assert needed["valkey"]["condition"] == "service_healthy"
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


@every_service
def test_secrets_come_as_files_and_stand_nowhere_else(name: str) -> None:
    service = SERVICES[name]
    given = set(service.get("secrets", []))
    assert given <= set(COMPOSE["secrets"])
    for variable, value in service.get("environment", {}).items():
        if re.search(r"SECRET|PASSWORD|_URL_FILE$", variable):
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in given


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_secret_that_the_settings_need_is_given(name: str) -> None:
    source = Path(settings.__file__).read_text()
    needed = set(re.findall(r'env\.(?:str|db_url)\("([A-Z_]+)"\)', source))
    assert needed <= {key.removesuffix("_FILE") for key in SERVICES[name]["environment"]}


def test_only_the_proxy_in_front_reaches_the_ports() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("postgres", "valkey"):
        assert SERVICES[name]["networks"] == ["inside"]


def test_image_installs_the_lock_by_hash_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text()
    last_stage = lines.split("\nFROM ")[-1]
    assert "pip install --require-hashes --requirement /tmp/requirements.txt" in lines
    assert re.search(r"^USER (?!0|root)\d+:\d+$", last_stage, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", last_stage, re.MULTILINE)
    assert "collectstatic" in lines


def test_image_leaves_secrets_and_local_data_out() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert {".git", ".venv", "var", "secrets", ".env", "tests"} <= set(ignored)


def test_production_secrets_are_made_once_and_fit_the_compose_file(tmp_path: Path) -> None:
    (tmp_path / "script").mkdir()
    program = tmp_path / "script" / "production_secrets"
    program.write_bytes((ROOT / "script" / "production_secrets").read_bytes())
    command = [sys.executable, str(program)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2

    subprocess.run([*command, "smtp+tls://u:p@mail.example.jp:587"], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert made["postgres_password"] in made["database_url"]
    assert made["valkey_password"] in made["redis_url"]
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700

    subprocess.run(command, check=True, capture_output=True)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made
