"""Checkpoints as earlier releases made them: a line of JSON under the audit key's MAC."""

from __future__ import annotations

from datetime import UTC

from vault.audit.checkpoint import Checkpoint
from vault.audit.record import canonical_json
from vault.crypto.encoding import length_prefixed
from vault.crypto.field_key import MacKey

__all__ = ["json_checkpoint", "sealed"]


def json_checkpoint(checkpoint: Checkpoint, key: MacKey) -> str:
    content = {
        "v": 2,
        "key_version": key.version,
        "time": checkpoint.time.astimezone(UTC).isoformat(timespec="microseconds"),
        "heads": [
            {"writer": str(head.writer), "number": head.number, "mac": head.mac.hex()}
            for head in checkpoint.heads
        ],
        "log": checkpoint.log and {"size": checkpoint.log.size, "root": checkpoint.log.root.hex()},
    }
    return sealed(content, key)


def sealed(content: object, key: MacKey) -> str:
    assert isinstance(content, dict)
    message = length_prefixed(b"tokenvault/v1/audit-checkpoint", canonical_json(content).encode())
    return canonical_json({**content, "mac": key.mac(message).hex()}) + "\n"
