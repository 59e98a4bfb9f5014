"""What a worker reports to its supervisor, as JSON over their pipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from vault.errors import (
    AuditUnavailable,
    ConfigError,
    KeysUnavailable,
    PolicyError,
    SetupError,
    StoreUnavailable,
    TokenvaultError,
    for_operators,
)

__all__ = ["WorkerFailure", "WorkerReport", "decode_message", "encode_message"]

_ERRORS: Final[Mapping[str, type[TokenvaultError]]] = {
    kind.__name__: kind
    for kind in (
        AuditUnavailable, ConfigError, KeysUnavailable, PolicyError, SetupError, StoreUnavailable
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker serves; these are the results of its probes.

    Attributes:
        probes: by name what is wrong, "" where all is well.
    """

    probes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerFailure:
    """A worker ends, and why."""

    kind: str
    message: str

    @classmethod
    def from_error(cls, error: TokenvaultError) -> WorkerFailure:
        """Describes an error."""
        return cls(type(error).__name__, for_operators(error))

    def error(self) -> TokenvaultError:
        """Returns the error, of its own kind where that is one a start may end with."""
        return _ERRORS.get(self.kind, TokenvaultError)(self.message)


def encode_message(message: WorkerReport | WorkerFailure) -> bytes:
    """Returns the message's bytes."""
    return json.dumps({type(message).__name__: asdict(message)}).encode()


def decode_message(raw: bytes) -> WorkerReport | WorkerFailure:
    """Reads what ``encode`` wrote."""
    ((kind, values),) = json.loads(raw).items()
    return WorkerReport(**values) if kind == "WorkerReport" else WorkerFailure(**values)
