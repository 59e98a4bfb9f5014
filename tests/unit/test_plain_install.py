"""What a plain install can do: the SDK and the file commands, without the server's dependencies.

Which of the packages here would be there is read from the metadata; the others are hidden.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

import pytest
import typer

from vault.cli.main import app
from vault.distribution import DISTRIBUTION, install_hint

# Imported where they are, but not by us: by gRPC, and by every start of Python.
NOT_OURS = {"grpc_health", "grpc_reflection", "grpc_status", "grpc_tools", "_distutils_hack"}
# Runs a program in which no module can be imported that a plain install does not bring.
HIDING = """
import importlib.abc, json, runpy, sys
hidden = set(json.loads(sys.argv.pop(1)))
class Hiding(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hiding())
exec(sys.argv.pop(1))
"""
COMMAND = "from vault.cli.main import run; run()"


def required(name: str, found: set[str]) -> None:
    """Adds a distribution and all that it requires, its extras left out."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in found:
        return
    try:
        lines = metadata.requires(name) or ()
    except metadata.PackageNotFoundError:
        return  # of another platform
    found.add(name)
    for line in lines:
        if "extra ==" not in line:
            required(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0], found)


def modules_left_out() -> set[str]:
    plain: set[str] = set()
    required(DISTRIBUTION, plain)
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if not plain & {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners}
    }


LEFT_OUT = modules_left_out()
# Commands that work with a plain install: whatever else there is says which extra it needs.
PLAIN = (
    {"tokenize", "detokenize", "erase", "login", "policy show", "access explain"}
    | {f"audit {name}" for name in ("verify", "tail", "checkpoint", "export", "prove", "report")}
    | {f"honey {name}" for name in ("add", "retire", "list")}
    | {f"freeze {name}" for name in ("list", "add", "lift")}
    | {"audit receipt verify"}
    | {
        f"reveal {name}"
        for name in (
            *("request", "list", "show", "approve"),
            *("deny", "withdraw", "revoke", "review", "open"),
        )
    }
)
NEEDS_EXTRA: list[tuple[tuple[str, ...], str]] = [
    (("serve", "--config", "server.toml"), "server"),
    (("migrate", "--config", "server.toml", "--owner", "owner"), "server"),
    (("health",), "server"),
    (("keys", "list", "--config", "server.toml"), "server"),
    (("keys", "restored", "--config", "server.toml"), "server"),
    (
        ("audit", "prune", "--config", "c", "--owner", "owner", "--checkpoint", "checkpoint"),
        "server",
    ),
    (("keys", "accept", "--config", "server.toml"), "server"),
    (("keys", "public", "--config", "server.toml"), "server"),
    (("policy", "check", "policy.yaml"), "server"),
    (("policy", "diff", "policy.yaml", "policy.yaml"), "server"),
    (("policy", "simulate", "policy.yaml"), "server"),
    (
        ("policy", "explain", "policy.yaml", "--principal", "i#s", "--action", "tokenize"),
        "server",
    ),
    (("dev",), "dev"),
]


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HIDING, json.dumps(sorted(LEFT_OUT)), program, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def imported(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def extras() -> Iterator[str]:
    for line in metadata.requires(DISTRIBUTION) or ():
        if "extra ==" in line:
            yield re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower()


def test_the_server_s_dependencies_are_left_out() -> None:
    assert {"alembic", "hvac", "phonenumbers", "psycopg", "sqlalchemy"} <= set(extras())
    for name in ("alembic", "hvac", "jwt", "numpy", "phonenumbers", "prometheus_client"):
        assert name in LEFT_OUT
    # Not pydantic: newer versions of typer bring it.
    for name in ("psycopg", "requests", "sqlalchemy", "stdnum", "structlog", "yaml"):
        assert name in LEFT_OUT
    assert not {"cryptography", "google", "grpc", "rich", "typer", "vault"} & LEFT_OUT


@pytest.mark.parametrize("module", ["vault.client", "vault.bulk", "vault.cli.main"])
def test_nothing_that_is_left_out_is_imported_where_it_happens_to_be(module: str) -> None:
    found = {name.partition(".")[0] for name in imported(f"import {module}")}
    assert found & LEFT_OUT - NOT_OURS == set()


def test_the_sdk_imports_nothing_slow_that_it_may_not_need() -> None:
    # Each of them takes longer than all of the SDK's own modules.
    slow = {"numpy", "opentelemetry", "pandas", "pyarrow", "cryptography", "rich", "typer"}
    found = imported("import vault.client")
    assert "vault.client.client" in found
    assert not slow & found
    assert "vault.client.packed" not in found
    assert not {name for name in found if name.startswith(("vault.cli.", "vault.config"))}


def test_packed_columns_name_their_extra() -> None:
    done = run("from vault.client import PackedColumn")
    assert f"packed columns need NumPy: {install_hint('packed')}" in done.stderr
    done = run("from vault.client import Client, Column, CallError; import vault.bulk")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("tokenize", "--help"),
        ("detokenize", "--help"),
        ("erase", "--help"),
        ("audit", "verify", "--help"),
        ("serve", "--help"),
    ],
)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    done = run(COMMAND, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: tokenvault" in done.stdout


@pytest.mark.parametrize(("words", "extra"), NEEDS_EXTRA)
def test_a_server_command_says_which_extra_it_needs(words: tuple[str, ...], extra: str) -> None:
    done = run(COMMAND, *words)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"tokenvault: \w+ is missing: (.*)", line)
    assert line.endswith(install_hint(extra))


def commands(group: typer.Typer) -> Iterator[str]:
    for each in group.registered_commands:
        assert each.callback
        yield each.name or each.callback.__name__
    for part in group.registered_groups:
        assert part.typer_instance
        yield from (f"{part.name} {name}" for name in commands(part.typer_instance))


def test_every_command_is_tried_with_a_plain_install_or_works_with_one() -> None:
    every = set(commands(app))
    tried = {
        each
        for each in every
        for words, _ in NEEDS_EXTRA
        if f"{' '.join(words)} ".startswith(f"{each} ")
    }
    assert every - tried == PLAIN


def test_a_fault_of_our_own_is_not_explained_by_an_extra() -> None:
    program = (
        "import sys, vault.server; sys.modules['vault.config'] = None\n"
        "sys.argv = ['tokenvault', 'serve', '--config', 'x']\n" + COMMAND
    )
    done = run(program)
    assert done.returncode == 5
    assert "install" not in done.stderr
