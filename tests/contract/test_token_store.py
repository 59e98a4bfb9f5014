"""What every TokenStore does, in memory and in Postgres."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import pytest

from vault.model import Generator, NewToken, Scope, StoredToken, TokenSpace, TokenState
from vault.service.ports import TokenStore, UnitOfWork

T = TypeVar("T")


class Backend(Protocol):
    @property
    def work(self) -> UnitOfWork: ...
    @property
    def expire(self) -> Callable[[TokenSpace, str], None]: ...


def mac_of(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def new_token(token: str, value: str | None, *, counter: int = 0, version: int = 1) -> NewToken:
    return NewToken(
        token=token,
        ciphertext=f"sealed {value or token}".encode(),
        mac=None if value is None else mac_of(value),
        index_version=0 if value is None else version,
        key_version=3,
        generator=Generator.FF1,
        scope=Scope.NONE if value is None else Scope.FIELD,
        tweak_counter=counter,
    )


def store(backend: Backend, work: Callable[[TokenStore], T]) -> T:
    return backend.work.run(lambda transaction: work(transaction.tokens))


def insert(backend: Backend, space: TokenSpace, *new: NewToken) -> frozenset[str]:
    return store(backend, lambda tokens: tokens.insert(space, new))


def find(
    backend: Backend, space: TokenSpace, values: Sequence[str], version: int = 1
) -> dict[str, StoredToken]:
    macs = {mac_of(value): value for value in values}
    found = store(
        backend, lambda tokens: tokens.find_by_mac(space, Scope.FIELD, version, list(macs))
    )
    return {macs[mac]: row for mac, row in found.items()}


def test_an_inserted_token_is_found_by_value_and_by_token(
    backend: Backend, space: TokenSpace
) -> None:
    assert insert(backend, space, new_token("7001", "a", counter=2**61)) == {"7001"}
    by_value = find(backend, space, ["a", "unknown"])
    by_token = store(backend, lambda tokens: tokens.find_by_token(space, ["7001", "9999"]))
    assert by_value.keys() == {"a"}
    assert by_token == {"7001": by_value["a"]}
    row = by_value["a"]
    assert (row.token, row.ciphertext, row.scope) == ("7001", b"sealed a", Scope.FIELD)
    assert (row.key_version, row.generator, row.state) == (3, Generator.FF1, TokenState.LIVE)
    assert row.created.tzinfo is not None
    assert row.expires is None


def test_empty_batches_are_answered(backend: Backend, space: TokenSpace) -> None:
    assert insert(backend, space) == frozenset()
    assert find(backend, space, []) == {}
    assert store(backend, lambda tokens: tokens.find_by_token(space, [])) == {}


def test_a_value_that_has_a_token_keeps_it(backend: Backend, space: TokenSpace) -> None:
    insert(backend, space, new_token("7001", "a"))
    assert insert(backend, space, new_token("7002", "a"), new_token("7003", "b")) == {"7003"}
    assert find(backend, space, ["a", "b"])["a"].token == "7001"
    assert store(backend, lambda tokens: tokens.find_by_token(space, ["7002"])) == {}


def test_a_taken_token_string_is_left_out_with_its_index(
    backend: Backend, space: TokenSpace
) -> None:
    insert(backend, space, new_token("7001", "a"))
    assert insert(backend, space, new_token("7001", "b"), new_token("7002", "c")) == {"7002"}
    assert find(backend, space, ["a", "b", "c"]).keys() == {"a", "c"}
    assert insert(backend, space, new_token("7003", "b", counter=1)) == {"7003"}
    assert find(backend, space, ["a", "b"])["b"].token == "7003"
    assert find(backend, space, ["a"])["a"].ciphertext == b"sealed a"


def test_spaces_and_index_versions_are_apart(backend: Backend, space: TokenSpace) -> None:
    other_field = TokenSpace(space.tenant, "us_ssn")
    other_tenant = TokenSpace(f"{space.tenant}-2", space.field)
    for at in (space, other_field, other_tenant):
        assert insert(backend, at, new_token("7001", "a")) == {"7001"}
    assert insert(backend, space, new_token("7002", "a", version=2)) == {"7002"}
    assert find(backend, space, ["a"], version=2)["a"].token == "7002"
    assert find(backend, space, ["a"])["a"].token == "7001"


def test_scope_none_gives_one_value_many_tokens(backend: Backend, space: TokenSpace) -> None:
    assert insert(backend, space, new_token("1", None), new_token("2", None)) == {"1", "2"}
    assert insert(backend, space, new_token("2", None), new_token("3", None)) == {"3"}
    rows = store(backend, lambda tokens: tokens.find_by_token(space, ["1", "2", "3"]))
    assert {row.scope for row in rows.values()} == {Scope.NONE}


def test_one_call_may_mix_kinds(backend: Backend, space: TokenSpace) -> None:
    new = [new_token("1", "a"), new_token("2", None), new_token("3", "b", version=2)]
    assert insert(backend, space, *new) == {"1", "2", "3"}


def test_an_expired_token_answers_as_expired_and_never_comes_back(
    backend: Backend, space: TokenSpace
) -> None:
    insert(backend, space, new_token("7001", "a"), new_token("7002", "b"))
    backend.expire(space, "7001")
    assert find(backend, space, ["a", "b"]).keys() == {"b"}
    row = store(backend, lambda tokens: tokens.find_by_token(space, ["7001"]))["7001"]
    assert (row.state, row.ciphertext) == (TokenState.EXPIRED, b"")

    def tokenize_again(tokens: TokenStore) -> frozenset[str]:
        assert tokens.find_by_mac(space, Scope.FIELD, 1, [mac_of("a")]) == {}
        return tokens.insert(space, [new_token("7003", "a")])

    assert store(backend, tokenize_again) == {"7003"}
    assert find(backend, space, ["a"])["a"].token == "7003"
    row = store(backend, lambda tokens: tokens.find_by_token(space, ["7001"]))["7001"]
    assert (row.state, row.ciphertext) == (TokenState.EXPIRED, b"")
    assert insert(backend, space, new_token("7001", "c")) == frozenset()


def test_a_failed_transaction_leaves_nothing(backend: Backend, space: TokenSpace) -> None:
    def fail(tokens: TokenStore) -> None:
        assert tokens.insert(space, [new_token("7001", "a")]) == {"7001"}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        store(backend, fail)
    assert find(backend, space, ["a"]) == {}
    assert store(backend, lambda tokens: tokens.find_by_token(space, ["7001"])) == {}
