"""The server with policy and audit cut out, and so without a transaction: the bench's baseline.

Everything else of a vaultless call is there: gRPC, TLS, identity, the bounds on calls,
metrics, log, keys, format, cipher. Never a server for anything else: it lets everybody do
everything. Run like ``vault.dev.server``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TypeVar, cast
from unittest.mock import patch

from vault.dev.server import main
from vault.model import NO_JUSTIFICATION, Action, AuditEvent, Justification
from vault.rpc.pipeline import Pipeline
from vault.service.admission import Admission, FieldPermit
from vault.service.call import Call
from vault.service.conversion import Conversion
from vault.service.ports import Transaction
from vault.service.token_specs import FieldTokenSpec
from vault.service.tokenization import TokenizationService

T = TypeVar("T")
R = TypeVar("R")

EVENT = AuditEvent("", "", "", "", "", "", "")
NO_TRANSACTION = cast("Transaction", SimpleNamespace())


def admit(
    _: Admission,
    call: Call,
    action: Action,
    field: str,
    view: str = "",
    justification: Justification = NO_JUSTIFICATION,
    tokens: Sequence[str] = (),
) -> FieldPermit:
    return FieldPermit(call.caller, EVENT, action, call.policy.fields[field], view or "full")


def carry_out(
    _: Admission,
    _permit: FieldPermit,
    _items: int,
    work: Callable[[Transaction], T],
    finish: Callable[[T], R],
    _noted: Callable[[], AuditEvent] | None = None,
    _exempt: Callable[[Transaction], bool] | None = None,
) -> R:
    return finish(work(NO_TRANSACTION))


def newest(token_spec: FieldTokenSpec, _: Transaction) -> int:
    """In the place of the record of a field's tweak version."""
    return token_spec._field.tweak_version


def nothing(*_: object) -> None:
    """In the place of a check or a record."""


CUT = (
    (Pipeline, "_permit", nothing),
    (Admission, "admit_field", admit),
    (Admission, "carry_out", carry_out),
    (FieldTokenSpec, "claim", newest),
    (FieldTokenSpec, "tweak_version", newest),
    (TokenizationService, "_record", nothing),
    (Conversion, "token_set", nothing),
)

if __name__ == "__main__":
    with ExitStack() as stack:
        for owner, name, instead in CUT:
            stack.enter_context(patch.object(owner, name, instead))
        sys.exit(main(sys.argv[1:]))
