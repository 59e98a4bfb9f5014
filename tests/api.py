"""What the proto files declare, found without a list that could forget a file."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module

from google.protobuf.descriptor import MethodDescriptor

import vault.v1

__all__ = ["declared_methods"]


def declared_methods() -> Sequence[MethodDescriptor]:
    """Returns every RPC of every service."""
    files = [
        import_module(f"vault.v1.{module.name}").DESCRIPTOR
        for module in pkgutil.iter_modules(vault.v1.__path__)
        if module.name.endswith("_pb2")
    ]
    services = [service for file in files for service in file.services_by_name.values()]
    return [method for service in services for method in service.methods]
