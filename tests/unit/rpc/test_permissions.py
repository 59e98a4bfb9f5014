from __future__ import annotations

from vault.model import Action
from vault.rpc.permissions import permissions, service_descriptors


def test_every_rpc_of_the_api_declares_a_permission() -> None:
    every = {
        f"/{service.full_name}/{method.name}"
        for service in service_descriptors()
        for method in service.methods
    }
    assert every - permissions().keys() == set()
    assert len(every) >= 8


def test_every_action_is_the_permission_of_an_rpc() -> None:
    assert set(permissions().values()) == set(Action)


def test_the_permission_is_the_one_in_the_proto() -> None:
    assert permissions()["/vault.v1.TokenizationService/Detokenize"] is Action.DETOKENIZE
