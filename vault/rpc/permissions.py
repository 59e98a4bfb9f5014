"""Which permission each RPC needs: read from the method options in the proto files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from vault.model import Action
from vault.v1 import (
    audit_service_pb2,
    encryption_service_pb2,
    options_pb2,
    policy_service_pb2,
    tokenization_service_pb2,
)

__all__ = ["permissions", "service_descriptors"]

_FILES = (
    audit_service_pb2.DESCRIPTOR,
    encryption_service_pb2.DESCRIPTOR,
    policy_service_pb2.DESCRIPTOR,
    tokenization_service_pb2.DESCRIPTOR,
)


def service_descriptors() -> Iterator[ServiceDescriptor]:
    """Yields every service of the API."""
    for file in _FILES:
        yield from file.services_by_name.values()


def permissions() -> Mapping[str, Action]:
    """Returns the action that each full method name (``/vault.v1.X/Y``) needs.

    A method without a permission is left out, and so refused.
    """
    return MappingProxyType(
        {
            f"/{service.full_name}/{method.name}": action
            for service in service_descriptors()
            for method in service.methods
            if (action := _action(method)) is not None
        }
    )


def _action(method: MethodDescriptor) -> Action | None:
    value = method.GetOptions().Extensions[options_pb2.permission]
    if value == options_pb2.PERMISSION_UNSPECIFIED:
        return None
    name = options_pb2.Permission.Name(value)
    return Action(name.removeprefix("PERMISSION_").lower())
