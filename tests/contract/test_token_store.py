"""What every TokenStore does, in memory and in Postgres."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import pytest

from tests.token_rows import NewToken, insert_rows, rows_by_mac
from vault.model import Generator, Scope, StoredToken, TokenSpace, TokenState
from vault.service.ports import IndexEntry, TokenStore, UnitOfWork

T = TypeVar("T")


class Backend(Protocol):
    @property
    def work(self) -> UnitOfWork: ...
    @property
    def expire(self) -> Callable[[TokenSpace, str], None]: ...


def mac_of(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


YEAR = timedelta(days=365)


def new_token(
    token: str,
    value: str | None,
    *,
    counter: int = 0,
    version: int = 1,
    ttl: timedelta | None = None,
) -> NewToken:
    return NewToken(
        token=token,
        ciphertext=f"sealed {value or token}".encode(),
        mac=None if value is None else mac_of(value),
        index_version=0 if value is None else version,
        key_version=3,
        generator=Generator.FF1,
        scope=Scope.NONE if value is None else Scope.FIELD,
        tweak_counter=counter,
        ttl=ttl,
    )


def store(backend: Backend, work: Callable[[TokenStore], T]) -> T:
    return backend.work.run(lambda transaction: work(transaction.tokens))


def insert(backend: Backend, space: TokenSpace, *new: NewToken) -> frozenset[str]:
    return store(backend, lambda tokens: insert_rows(tokens, space, new))


def find(
    backend: Backend, space: TokenSpace, values: Sequence[str], version: int = 1
) -> dict[str, StoredToken]:
    macs = {mac_of(value): value for value in values}
    found = store(backend, lambda tokens: rows_by_mac(tokens, space, list(macs), version=version))
    return {macs[mac]: row for mac, row in found.items()}


def test_an_inserted_token_is_found_by_value_and_by_token(
    backend: Backend, space: TokenSpace
) -> None:
    assert insert(backend, space, new_token("7001", "a", counter=2**61)) == {"7001"}
    by_value = find(backend, space, ["a", "unknown"])
    by_token = store(backend, lambda tokens: tokens.rows_by_token(space, ["7001", "9999"]))
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
    assert store(backend, lambda tokens: tokens.rows_by_token(space, [])) == {}


def test_a_value_that_has_a_token_keeps_it(backend: Backend, space: TokenSpace) -> None:
    insert(backend, space, new_token("7001", "a"))
    assert insert(backend, space, new_token("7002", "a"), new_token("7003", "b")) == {"7003"}
    assert find(backend, space, ["a", "b"])["a"].token == "7001"
    assert store(backend, lambda tokens: tokens.rows_by_token(space, ["7002"])) == {}


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
    rows = store(backend, lambda tokens: tokens.rows_by_token(space, ["1", "2", "3"]))
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
    row = store(backend, lambda tokens: tokens.rows_by_token(space, ["7001"]))["7001"]
    assert (row.state, row.ciphertext) == (TokenState.EXPIRED, b"")

    def tokenize_again(tokens: TokenStore) -> frozenset[str]:
        assert rows_by_mac(tokens, space, [mac_of("a")]) == {}
        return insert_rows(tokens, space, [new_token("7003", "a")])

    assert store(backend, tokenize_again) == {"7003"}
    assert find(backend, space, ["a"])["a"].token == "7003"
    row = store(backend, lambda tokens: tokens.rows_by_token(space, ["7001"]))["7001"]
    assert (row.state, row.ciphertext) == (TokenState.EXPIRED, b"")
    assert insert(backend, space, new_token("7001", "c")) == frozenset()


def test_a_failed_transaction_leaves_nothing(backend: Backend, space: TokenSpace) -> None:
    def fail(tokens: TokenStore) -> None:
        assert insert_rows(tokens, space, [new_token("7001", "a")]) == {"7001"}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        store(backend, fail)
    assert find(backend, space, ["a"]) == {}
    assert store(backend, lambda tokens: tokens.rows_by_token(space, ["7001"])) == {}


def row_of(backend: Backend, space: TokenSpace, token: str) -> StoredToken:
    return store(backend, lambda tokens: tokens.rows_by_token(space, [token]))[token]


def find_extended(
    backend: Backend, space: TokenSpace, value: str, ttl: timedelta
) -> StoredToken | None:
    mac = mac_of(value)
    return store(backend, lambda tokens: rows_by_mac(tokens, space, [mac], extend=ttl)).get(mac)


def index_entry(token: str, value: str, version: int = 1) -> IndexEntry:
    return IndexEntry(token, Scope.FIELD, version, mac_of(value))


def erase(backend: Backend, space: TokenSpace, token: str, *entries: IndexEntry) -> None:
    def work(tokens: TokenStore) -> None:
        assert tokens.lock_by_token(space, [token]).keys() == {token}
        tokens.tombstone(space, TokenState.ERASED, [token], entries)

    store(backend, work)


def test_a_token_is_born_with_its_expiry(backend: Backend, space: TokenSpace) -> None:
    new = [new_token("1", "a", ttl=YEAR), new_token("2", "b"), new_token("3", None, ttl=YEAR)]
    assert insert(backend, space, *new) == {"1", "2", "3"}
    for token in ("1", "3"):
        row = row_of(backend, space, token)
        assert row.expires == row.created + YEAR
    assert row_of(backend, space, "2").expires is None


def test_finding_can_extend_and_never_shortens(backend: Backend, space: TokenSpace) -> None:
    insert(backend, space, new_token("1", "a", ttl=YEAR), new_token("2", "b"))
    born = row_of(backend, space, "1").expires
    assert born is not None
    for ttl, least in ((YEAR / 2, born), (YEAR * 2, born + YEAR), (YEAR, born + YEAR)):
        found = find_extended(backend, space, "a", ttl)
        assert found is not None
        assert found == row_of(backend, space, "1")
        assert found.expires is not None
        assert least <= found.expires < least + timedelta(minutes=10)
    found = find_extended(backend, space, "b", YEAR)
    assert found is not None
    assert found.expires is None  # made without an expiry: giving it one would shorten it
    assert find_extended(backend, space, "unknown", YEAR) is None


def test_what_has_expired_is_not_extended(backend: Backend, space: TokenSpace) -> None:
    insert(backend, space, new_token("1", "a", ttl=YEAR))
    backend.expire(space, "1")
    assert find_extended(backend, space, "a", YEAR) is None
    assert row_of(backend, space, "1").state is TokenState.EXPIRED

    def tokenize_again(tokens: TokenStore) -> frozenset[str]:
        assert rows_by_mac(tokens, space, [mac_of("a")], extend=YEAR) == {}
        return insert_rows(tokens, space, [new_token("2", "a", ttl=YEAR)])

    assert store(backend, tokenize_again) == {"2"}
    assert find(backend, space, ["a"])["a"].token == "2"


def test_an_erased_token_is_a_tombstone_that_no_value_leads_to(
    backend: Backend, space: TokenSpace
) -> None:
    insert(backend, space, new_token("1", "a"), new_token("2", "b"))
    insert(backend, space, new_token("3", "b", version=2))
    erase(backend, space, "1", index_entry("1", "a"), index_entry("1", "a", version=2))
    row = row_of(backend, space, "1")
    assert (row.state, row.ciphertext) == (TokenState.ERASED, b"")
    assert find(backend, space, ["a", "b"]).keys() == {"b"}
    assert insert(backend, space, new_token("1", "c")) == frozenset()
    assert insert(backend, space, new_token("4", "a")) == {"4"}
    # Another token's index row stays, whatever place is named.
    erase(backend, space, "2", index_entry("2", "a"), index_entry("2", "b", version=2))
    assert find(backend, space, ["a"])["a"].token == "4"
    assert find(backend, space, ["b"], version=2)["b"].token == "3"
    assert find(backend, space, ["b"]) == {}


def test_an_index_row_left_behind_leads_nowhere(backend: Backend, space: TokenSpace) -> None:
    insert(backend, space, new_token("1", "a"))
    erase(backend, space, "1")

    def tokenize_again(tokens: TokenStore) -> frozenset[str]:
        assert rows_by_mac(tokens, space, [mac_of("a")]) == {}
        return insert_rows(tokens, space, [new_token("2", "a")])

    assert store(backend, tokenize_again) == {"2"}
    assert find(backend, space, ["a"])["a"].token == "2"


def test_erased_stays_erased(backend: Backend, space: TokenSpace) -> None:
    insert(backend, space, new_token("1", "a", ttl=YEAR))
    backend.expire(space, "1")
    erase(backend, space, "1", index_entry("1", "a"))
    store(backend, lambda tokens: tokens.lock_by_token(space, ["1"]))
    store(backend, lambda tokens: tokens.tombstone(space, TokenState.EXPIRED, ["1"], []))
    assert row_of(backend, space, "1").state is TokenState.ERASED


def test_locking_tells_the_state_and_keeps_what_is_needed_to_bury(
    backend: Backend, space: TokenSpace
) -> None:
    insert(backend, space, *(new_token(name, name, ttl=YEAR) for name in ("1", "2", "3")))
    backend.expire(space, "2")
    erase(backend, space, "3")
    rows = store(backend, lambda tokens: tokens.lock_by_token(space, ["3", "1", "9", "2"]))
    assert {token: (row.state, row.ciphertext) for token, row in rows.items()} == {
        "1": (TokenState.LIVE, b"sealed 1"),
        "2": (TokenState.EXPIRED, b"sealed 2"),
        "3": (TokenState.ERASED, b""),
    }
    macs = [mac_of(name) for name in ("3", "1", "9", "2")]
    live = store(backend, lambda tokens: tokens.lock_by_mac(space, Scope.FIELD, 1, macs))
    assert {mac: row.token for mac, row in live.items()} == {mac_of("1"): "1"}
    assert store(backend, lambda tokens: tokens.lock_by_token(space, [])) == {}
    assert store(backend, lambda tokens: tokens.lock_by_mac(space, Scope.FIELD, 1, [])) == {}


def test_the_oldest_expired_come_first_and_of_one_space(
    backend: Backend, space: TokenSpace
) -> None:
    drain(backend)
    other = TokenSpace(space.tenant, "us_ssn")
    insert(backend, space, *(new_token(str(n), str(n), ttl=YEAR) for n in range(5)))
    insert(backend, other, new_token("7", "7", ttl=YEAR))
    for token in ("3", "1", "4"):
        backend.expire(space, token)
        time.sleep(0.002)
    backend.expire(other, "7")
    first = store(backend, lambda tokens: tokens.lock_expired(2))
    assert first is not None
    assert (first[0], set(first[1])) == (space, {"3", "1"})
    assert {row.ciphertext for row in first[1].values()} == {b"sealed 3", b"sealed 1"}
    assert drain(backend) == [(space, {"3", "1"}), (space, {"4"}), (other, {"7"})]
    assert row_of(backend, space, "4").state is TokenState.EXPIRED
    assert find(backend, space, ["0", "1", "2", "3", "4"]).keys() == {"0", "2"}


def drain(backend: Backend) -> list[tuple[TokenSpace, set[str]]]:
    """Makes tombstones of what has expired, two at a time; returns the batches."""

    def batch(tokens: TokenStore) -> tuple[TokenSpace, set[str]] | None:
        taken = tokens.lock_expired(2)
        if taken is None:
            return None
        tokens.tombstone(taken[0], TokenState.EXPIRED, list(taken[1]), [])
        return taken[0], set(taken[1])

    batches = []
    while done := store(backend, batch):
        batches.append(done)
    return batches


def test_created_is_not_touched_by_an_extension(backend: Backend, space: TokenSpace) -> None:
    insert(backend, space, new_token("1", "a", ttl=YEAR))
    created: datetime = row_of(backend, space, "1").created
    find_extended(backend, space, "a", YEAR * 2)
    assert row_of(backend, space, "1").created == created
