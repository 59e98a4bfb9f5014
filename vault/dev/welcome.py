"""The message of a started development environment: where it is, and what to try next."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from vault.dev.deployed_files import deployed_file

__all__ = ["welcome"]

_TOKENS = "tokens.csv"
_FIELD = "card_number"


def welcome(
    address: str,
    description: Path,
    options: Sequence[str],
    roles: Collection[str],
    fields: Collection[str],
) -> str:
    """Returns a few lines; it suggests only what the policy's roles may try.

    Args:
        options: what each command needs to find the environment, such as ``--dev DIR``.
        fields: of the policy; the sample file is for the sample policy's.
    """
    lines = [f"Ready: the service is at {address}; {description} names certificates and ports."]
    suggestions = [words for role, words in _suggestions(_FIELD in fields) if role in roles]
    if suggestions:
        lines += ["", "Try in another terminal:"]
        lines += [f"  tokenvault {shlex.join([*words, *options])}" for words in suggestions]
    return "\n".join([*lines, "", "Ctrl-C stops everything; the data stays."])


def _suggestions(sampled: bool) -> list[tuple[str, list[str]]]:
    verify = ("auditor", ["audit", "verify", "--role", "auditor"])
    if not sampled:
        return [verify]
    sample = deployed_file("demo/customers.csv")
    source = _shown(sample) if sample.exists() else "customers.csv"
    column = ["--column", f"{_FIELD}={_FIELD}"]
    read = ["detokenize", _TOKENS, *column, "--role"]
    return [
        ("pipeline", ["tokenize", source, *column, "-o", _TOKENS, "--role", "pipeline"]),
        ("support", [*read, "support"]),
        ("fraud_analyst", [*read, "fraud_analyst"]),
        verify,
    ]


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
