"""Which permission each RPC needs: read from the method options in the proto files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import Default

from vault.model import Action
from vault.v1 import options_pb2

__all__ = ["permissions"]


def permissions(paths: Iterable[str]) -> Mapping[str, Action]:
    """Returns the action that each full method name (``/vault.v1.X/Y``) needs.

    A method without a permission is left out, and so refused.
    """
    return MappingProxyType(
        {path: action for path in paths if (action := _action(_method(path))) is not None}
    )


def _method(path: str) -> MethodDescriptor:
    _, service, name = path.split("/")
    found: ServiceDescriptor = Default().FindServiceByName(service)
    return found.methods_by_name[name]


def _action(method: MethodDescriptor) -> Action | None:
    value = method.GetOptions().Extensions[options_pb2.permission]
    if value == options_pb2.PERMISSION_UNSPECIFIED:
        return None
    name = options_pb2.Permission.Name(value)
    return Action(name.removeprefix("PERMISSION_").lower())
