"""Commands that need more than the SDK and the file commands do."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from vault.distribution import install_hint
from vault.errors import SetupError

__all__ = ["needs_dev", "needs_server"]

P = ParamSpec("P")
R = TypeVar("R")


def needs_server(command: Callable[P, R]) -> Callable[P, R]:
    """Says which extra to install where the server's dependencies are missing."""
    return _needs(command, install_hint("server"))


def needs_dev(command: Callable[P, R]) -> Callable[P, R]:
    """Says which extra to install where what ``tokenvault dev`` needs is missing."""
    return _needs(command, install_hint("dev"))


def _needs(command: Callable[P, R], hint: str) -> Callable[P, R]:
    @wraps(command)  # with its signature, which the command line is made of
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ModuleNotFoundError as error:
            package = (error.name or "vault").partition(".")[0]
            if package == "vault":  # a fault of our own, for which no extra helps
                raise
            raise SetupError(f"{package} is missing: {hint}") from None

    return run
