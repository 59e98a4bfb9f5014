"""Dockerfile and compose file, as far as they can be checked without a container engine."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from vault.config import load_settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: Mapping[str, Mapping[str, object]] = COMPOSE["services"]
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def mounts(name: str) -> list[str]:
    volumes = SERVICES[name].get("volumes", [])
    assert isinstance(volumes, list)
    return [str(each) for each in volumes]


@pytest.mark.parametrize("source", copied())
def test_what_the_image_copies_is_there_and_reaches_the_builder(source: str) -> None:
    assert (ROOT / source).exists()
    assert "*" in IGNORED
    assert any(source == line[1:] or source.startswith(f"{line[1:]}/") for line in IGNORED)


def test_the_wheel_needs_no_file_that_the_image_lacks() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (included,) = re.findall(r"^force-include = \{(.*)\}$", project, re.MULTILINE)
    wanted = [*re.findall(r'"([^"]+)" = ', included), "vault", "README.md", "LICENSE"]
    assert set(wanted) <= set(copied())


def test_the_image_is_not_root_and_checks_hashes() -> None:
    final = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    assert "USER 65532:65532\n" in final
    assert "STOPSIGNAL SIGTERM\n" in final
    for step in DOCKERFILE.replace("\\\n", " ").split("&&"):
        if "pip" in step and " install " in step:
            assert "--require-hashes" in step or "--no-index" in step


def test_locked_build_tools_are_those_of_development() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text()
        return set(re.findall(r"^([a-z-]+==\S+)", text, re.MULTILINE))

    assert pins("build.txt")
    assert pins("build.txt") <= pins("dev.txt")


def test_settings_of_the_compose_file_are_settings() -> None:
    settings = load_settings(DEPLOY / "compose/server.toml")
    assert settings.server.health_host == "127.0.0.1"
    assert "sslmode=verify-full" in settings.database.url


@pytest.mark.parametrize("name", list(SERVICES))
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (service["user"] == "0:0") == (name == "prepare")
    assert "privileged" not in service


@pytest.mark.parametrize("name", list(SERVICES))
def test_mounted_files_exist(name: str) -> None:
    for mount in mounts(name):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists()
        else:
            assert source in COMPOSE["volumes"]


def test_each_secret_goes_to_who_needs_it() -> None:
    prepared = {
        name: {each.split(":")[0] for each in mounts(name) if not each.startswith(".")}
        for name in SERVICES
    }
    everything = prepared.pop("prepare")
    assert everything == set(COMPOSE["volumes"]) - {"database"}
    assert prepared == {
        "postgres": {"postgres", "database"},
        "vault": {"vault", "vault-data"},
        "vault-init": {"init", "service"},
        "migrate": {"owner"},
        "tokenvault": {"service"},
        "client": {"clients"},
    }


@pytest.mark.parametrize("script", sorted(DEPLOY.glob("**/*.sh")), ids=lambda path: path.name)
def test_scripts_are_posix_shell(script: Path) -> None:
    assert script.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", str(script)], check=True)
