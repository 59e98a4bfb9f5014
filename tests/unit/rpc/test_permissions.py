from __future__ import annotations

from collections.abc import Set
from typing import cast

import pytest

from tests.api import declared_methods
from vault.model import Action
from vault.rpc.methods.access import access_rpcs
from vault.rpc.methods.audit import audit_rpcs
from vault.rpc.methods.columns import column_rpcs
from vault.rpc.methods.encryption import encryption_rpcs
from vault.rpc.methods.erasure import erasure_rpcs
from vault.rpc.methods.freezes import freeze_rpcs
from vault.rpc.methods.honey import honey_rpcs
from vault.rpc.methods.policy import policy_rpcs
from vault.rpc.methods.registry import registry
from vault.rpc.methods.reveal import reveal_rpcs
from vault.rpc.methods.tokenization import tokenization_rpcs
from vault.rpc.permissions import permissions
from vault.service.access.explain_access import AccessService
from vault.service.audit import AuditService
from vault.service.encryption import EncryptionService
from vault.service.erasure.erase import ErasureService
from vault.service.erasure.spellings import SpellingService
from vault.service.freezes.freezes import FreezeService
from vault.service.honey.honey_tokens import HoneyService
from vault.service.policy import PolicyService
from vault.service.reveal.asking import RequestService
from vault.service.reveal.reveals import RevealService
from vault.service.tokenization import TokenizationService


@pytest.fixture(scope="module")
def every() -> Set[str]:
    """Full names of all methods that the proto files declare."""
    return {
        f"/{method.containing_service.full_name}/{method.name}" for method in declared_methods()
    }


def test_every_rpc_of_the_api_has_a_row(every: Set[str]) -> None:
    tokens = cast("TokenizationService", None)
    methods = registry(
        tokenization_rpcs(tokens),
        column_rpcs(tokens),
        erasure_rpcs(cast("ErasureService", None), cast("SpellingService", None)),
        encryption_rpcs(cast("EncryptionService", None)),
        audit_rpcs(cast("AuditService", None)),
        policy_rpcs(cast("PolicyService", None)),
        access_rpcs(cast("AccessService", None)),
        reveal_rpcs(cast("RequestService", None), cast("RevealService", None)),
        honey_rpcs(cast("HoneyService", None)),
        freeze_rpcs(cast("FreezeService", None)),
    )
    assert methods.keys() == every


def test_every_rpc_of_the_api_declares_a_permission(every: Set[str]) -> None:
    assert every - permissions(every).keys() == set()
    assert len(every) >= 8


def test_every_action_is_the_permission_of_an_rpc(every: Set[str]) -> None:
    assert set(permissions(every).values()) == set(Action)


def test_the_permission_is_the_one_in_the_proto(every: Set[str]) -> None:
    assert permissions(every)["/vault.v1.TokenizationService/Detokenize"] is Action.DETOKENIZE
