"""The SDK has every RPC of the API."""

from __future__ import annotations

import re
from pathlib import Path

import vault.client
from vault.v1 import (
    audit_service_pb2,
    encryption_service_pb2,
    policy_service_pb2,
    reveal_service_pb2,
    tokenization_service_pb2,
)

SERVICES = [
    service
    for module in (
        audit_service_pb2,
        encryption_service_pb2,
        policy_service_pb2,
        reveal_service_pb2,
        tokenization_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
]


def test_the_client_calls_every_rpc() -> None:
    (folder,) = vault.client.__path__
    source = "".join(path.read_text() for path in Path(folder).glob("*.py"))
    called = set(re.findall(r"\._\w+\.([A-Z]\w+)", source))
    assert {method.name for service in SERVICES for method in service.methods} == called
