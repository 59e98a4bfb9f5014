from __future__ import annotations

from pathlib import Path

from vault.dev.openbao import service_policy
from vault.dev.welcome import welcome


def test_suggests_only_what_the_roles_may_do() -> None:
    text = welcome("127.0.0.1:1", Path("/x/dev.json"), ["--dev", "/a b"], ["auditor"], [])
    assert "tokenvault audit verify --role auditor --dev '/a b'" in text
    assert "tokenize" not in text


def test_suggests_nothing_without_a_role_it_knows() -> None:
    assert "Try" not in welcome("127.0.0.1:1", Path("/x/dev.json"), [], ["other"], ["card_number"])


def test_the_service_policy_is_that_of_one_key() -> None:
    text = service_policy("another")
    paths = [line.split('"')[1] for line in text.splitlines() if line.startswith("path ")]
    assert paths == [
        "transit/datakey/wrapped/another",
        "transit/decrypt/another",
        "auth/token/renew-self",
        "auth/token/lookup-self",
    ]
