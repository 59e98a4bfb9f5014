from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from vault.errors import DecryptionFailed, KeysUnavailable, StoreUnavailable
from vault.keys.keyring import Keyring
from vault.model import DEFAULT_TENANT, TokenSpace
from vault.service.ports import DatabaseIdentity, DataKeyRecord, KeyManifest
from vault.testing.keys import LocalKeyWrapper

CARD = TokenSpace(DEFAULT_TENANT, "card_number")
SSN = TokenSpace(DEFAULT_TENANT, "us_ssn")


class Table:
    """data_keys in memory, after the port's contract."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str, str, int], DataKeyRecord] = {}
        self.looks = 0
        self.away = False
        self.identity = "here"
        self.counted: str | None = None
        self.manifests: list[KeyManifest] = []

    def all(self) -> Sequence[DataKeyRecord]:
        self.looks += 1
        if self.away:
            raise StoreUnavailable("the database is unavailable")
        return [self.records[place] for place in sorted(self.records)]

    def add(self, records: Sequence[DataKeyRecord]) -> None:
        for record in records:
            place = (record.tenant, record.field, record.purpose, record.version)
            if place in self.records:
                continue
            for other, old in list(self.records.items()):
                if other[:3] == place[:3]:
                    self.records[other] = replace(old, active=False)
            self.records[place] = record

    def reserve(self, tenant: str, field: str, purpose: str, version: int, uses: int) -> int:
        if self.away:
            raise StoreUnavailable("the database is unavailable")
        place = (tenant, field, purpose, version)
        self.records[place] = replace(self.records[place], uses=self.records[place].uses + uses)
        return self.records[place].uses

    def database_identity(self) -> DatabaseIdentity:
        return DatabaseIdentity(self.identity, self.counted)

    def begin_epoch(self, identity: str, records: Sequence[DataKeyRecord]) -> bool:
        if self.counted == identity:
            return False
        self.counted = identity
        self.add(records)
        return True

    def manifest(self, tenant: str) -> KeyManifest | None:
        if self.away:
            raise StoreUnavailable("the database is unavailable")
        return self.manifests[-1] if self.manifests else None

    def add_manifest(self, manifest: KeyManifest) -> bool:
        if any(each.number == manifest.number for each in self.manifests):
            return False
        self.manifests.append(manifest)
        return True

    def used_fields(self, tenant: str, fields: Sequence[str]) -> Set[str]:
        return frozenset()

    def uses(self, space: TokenSpace, version: int = 1) -> int:
        return self.records[space.tenant, space.field, "field", version].uses


class Wrapper(LocalKeyWrapper):
    """A key server that can go away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.opened = 0

    def generate(self, contexts: Sequence[bytes]) -> Sequence[str]:
        self._check()
        return super().generate(contexts)

    def unwrap(self, items: Sequence[tuple[bytes, str]]) -> Sequence[bytes]:
        self._check()
        self.opened += len(items)
        return super().unwrap(items)

    def _check(self) -> None:
        if self.away:
            raise KeysUnavailable("key server: it cannot be reached")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class KeyringHarness:
    table: Table = field(default_factory=Table)
    wrapper: Wrapper = field(default_factory=Wrapper)
    clock: Clock = field(default_factory=Clock)
    rings: list[Keyring] = field(default_factory=list)

    def ring(self, *fields: str, block: int = 1000, max_uses: int = 10_000) -> Keyring:
        ring = Keyring(
            self.table,
            self.wrapper,
            fields or ("card_number", "us_ssn"),
            lifetime=100.0,
            block=block,
            max_uses=max_uses,
            clock=self.clock,
        )
        self.rings.append(ring)
        ring.reload()
        return ring


@pytest.fixture
def harness() -> Iterator[KeyringHarness]:
    harness = KeyringHarness()
    yield harness
    for ring in harness.rings:
        ring.close()


def test_makes_a_key_for_every_purpose(harness: KeyringHarness) -> None:
    harness.ring()
    places = {(field, purpose) for _, field, purpose, _ in harness.table.records}
    fields = {(name, kind) for name in ("card_number", "us_ssn") for kind in ("field", "index")}
    assert places == fields | {("", "audit")}
    assert all(record.active for record in harness.table.records.values())


def test_keys_are_the_same_on_every_replica(harness: KeyringHarness) -> None:
    one, two = harness.ring(), harness.ring()
    sealed = one.active_field_key(CARD).seal(b"4111", scope="field", token="t")
    assert two.field_key(CARD, 1).open(sealed, scope="field", token="t") == b"4111"
    assert one.index_key(CARD).mac("field", "x") == two.index_key(CARD).mac("field", "x")
    assert one.audit_key(DEFAULT_TENANT).mac(b"x") == two.audit_key(DEFAULT_TENANT, 1).mac(b"x")


def test_keys_of_fields_differ(harness: KeyringHarness) -> None:
    ring = harness.ring()
    assert ring.index_key(CARD).mac("field", "x") != ring.index_key(SSN).mac("field", "x")
    sealed = ring.active_field_key(CARD).seal(b"4111", scope="field", token="t")
    with pytest.raises(DecryptionFailed):
        ring.active_field_key(SSN).open(sealed, scope="field", token="t")


def test_replicas_that_start_together_converge(harness: KeyringHarness) -> None:
    racing = threading.Barrier(2)
    all_records = harness.table.all

    def late_all() -> Sequence[DataKeyRecord]:
        records = all_records()
        if not records:
            racing.wait(5)
        return records

    harness.table.all = late_all  # type: ignore[method-assign]
    macs: list[bytes] = []

    def start() -> None:
        macs.append(harness.ring().index_key(CARD).mac("field", "x"))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(macs) == 2
    assert macs[0] == macs[1]


def test_fails_closed_when_the_lifetime_ends(harness: KeyringHarness) -> None:
    ring = harness.ring()
    harness.wrapper.away = True
    harness.clock.now += 99.9
    assert ring.active_field_key(CARD).version == 1
    assert ring.status().ready
    harness.clock.now += 0.2
    for ask in (
        lambda: ring.active_field_key(CARD),
        lambda: ring.for_encryption(CARD, 1),
        lambda: ring.field_key(CARD, 1),
        lambda: ring.index_key(CARD),
        lambda: ring.audit_key(DEFAULT_TENANT),
    ):
        with pytest.raises(KeysUnavailable):
            ask()
    assert not ring.status().ready


def test_a_failed_refresh_says_so_and_keeps_the_keys(harness: KeyringHarness) -> None:
    ring = harness.ring()
    harness.wrapper.away = True
    with pytest.raises(KeysUnavailable):
        ring.reload()
    assert ring.active_field_key(CARD).version == 1
    ready, message, left = ring.status()
    assert (ready, left) == (True, 100.0)
    assert "cannot be reached" in message


def test_recovers_by_itself_after_the_lifetime(harness: KeyringHarness) -> None:
    ring = Keyring(harness.table, harness.wrapper, ["card_number"], lifetime=0.4)
    harness.rings.append(ring)
    ring.start()
    harness.wrapper.away = True
    _eventually(lambda: not ring.status().ready)
    with pytest.raises(KeysUnavailable):
        ring.active_field_key(CARD)
    harness.wrapper.away = False
    _eventually(lambda: ring.status().ready)
    assert ring.active_field_key(CARD).version == 1


def test_refreshes_before_the_lifetime_ends(harness: KeyringHarness) -> None:
    ring = Keyring(harness.table, harness.wrapper, ["card_number"], lifetime=0.6)
    harness.rings.append(ring)
    ring.start()
    ended = time.monotonic() + 1.5
    while time.monotonic() < ended:
        assert ring.active_field_key(CARD).version == 1
        time.sleep(0.02)


def test_a_refresh_keeps_key_objects_with_their_cipher_contexts(harness: KeyringHarness) -> None:
    ring = harness.ring()
    before = ring.active_field_key(CARD)
    harness.clock.now += 50
    ring.reload()
    assert ring.active_field_key(CARD) is before
    assert ring.status().seconds_left == 100.0


def test_an_unknown_version_asks_the_store_once_a_second(harness: KeyringHarness) -> None:
    ring = harness.ring()
    looks, opened = harness.table.looks, harness.wrapper.opened
    for _ in range(50):
        with pytest.raises(DecryptionFailed):
            ring.field_key(CARD, 99)
    assert harness.table.looks == looks + 1
    assert harness.wrapper.opened == opened
    harness.clock.now += 1.1
    with pytest.raises(DecryptionFailed):
        ring.field_key(CARD, 99)
    assert harness.table.looks == looks + 2


def test_learns_a_version_that_another_replica_made(harness: KeyringHarness) -> None:
    one, two = harness.ring(max_uses=1000), harness.ring(max_uses=1000)
    one.for_encryption(CARD, 1000)
    key = one.for_encryption(CARD, 1)
    assert key.version == 2
    sealed = key.seal(b"4111", scope="field", token="t")
    assert two.field_key(CARD, 2).open(sealed, scope="field", token="t") == b"4111"
    assert two.active_field_key(CARD).version == 2


def test_a_stored_version_that_cannot_be_opened_is_unavailable_not_unknown(
    harness: KeyringHarness,
) -> None:
    one, two = harness.ring(max_uses=1000), harness.ring(max_uses=1000)
    one.for_encryption(CARD, 1000)
    one.for_encryption(CARD, 1)
    harness.wrapper.away = True
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            two.field_key(CARD, 2)


def test_uses_are_reserved_before_they_are_used(harness: KeyringHarness) -> None:
    ring = harness.ring(block=1000)
    assert harness.table.uses(CARD) == 0
    ring.for_encryption(CARD, 1)
    assert harness.table.uses(CARD) == 1000
    ring.for_encryption(CARD, 999)
    assert harness.table.uses(CARD) == 1000
    ring.for_encryption(CARD, 2500)
    assert harness.table.uses(CARD) == 3500
    assert harness.table.uses(SSN) == 0


def test_threads_never_overdraw_a_block(harness: KeyringHarness) -> None:
    ring = harness.ring(block=10)

    def encrypt() -> None:
        for _ in range(100):
            ring.for_encryption(CARD, 1)

    threads = [threading.Thread(target=encrypt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert harness.table.uses(CARD) == 400


def test_no_version_encrypts_more_than_it_may(harness: KeyringHarness) -> None:
    ring = harness.ring(block=10, max_uses=30)
    charged: dict[int, int] = {}
    for _ in range(100):
        version = ring.for_encryption(CARD, 1).version
        charged[version] = charged.get(version, 0) + 1
    assert charged == {1: 30, 2: 30, 3: 30, 4: 10}
    active = [each.version for each in harness.table.records.values() if each.active]
    assert sorted(active)[-1] == 4
    assert ring.field_key(CARD, 1).version == 1


def test_no_encryption_without_a_reservation(harness: KeyringHarness) -> None:
    ring = harness.ring()
    harness.table.away = True
    with pytest.raises(StoreUnavailable):
        ring.for_encryption(CARD, 1)
    assert ring.active_field_key(CARD).version == 1


def test_a_new_policy_gets_its_keys_before_it_is_in_force(harness: KeyringHarness) -> None:
    ring = harness.ring("card_number")
    with pytest.raises(KeysUnavailable):
        ring.active_field_key(SSN)
    ring.ensure(["card_number", "us_ssn"])
    assert ring.active_field_key(SSN).version == 1
    opened = harness.wrapper.opened
    ring.ensure(["us_ssn"])
    assert harness.wrapper.opened == opened


def test_purposes_of_a_later_release_are_left_alone(harness: KeyringHarness) -> None:
    later = DataKeyRecord(DEFAULT_TENANT, "card_number", "quantum", 1, "q:1:x", True, 0)
    harness.table.add([later])
    assert harness.ring().active_field_key(CARD).version == 1


def test_a_row_moved_to_another_field_does_not_open(harness: KeyringHarness) -> None:
    harness.ring()
    place, other = ((DEFAULT_TENANT, name, "field", 1) for name in ("card_number", "us_ssn"))
    swapped = harness.table.records[other].wrapped
    harness.table.records[place] = replace(harness.table.records[place], wrapped=swapped)
    with pytest.raises(KeysUnavailable):
        harness.ring()


def test_start_fails_when_the_store_is_away(harness: KeyringHarness) -> None:
    harness.table.away = True
    ring = Keyring(harness.table, harness.wrapper, ["card_number"])
    with pytest.raises(StoreUnavailable):
        ring.start()
    assert ring.status() == (False, "the database is unavailable", 0.0)


def active(harness: KeyringHarness, space: TokenSpace, purpose: str = "field") -> list[int]:
    return [
        record.version
        for record in harness.table.records.values()
        if record.active and (record.field, record.purpose) == (space.field, purpose)
    ]


def test_a_restored_database_begins_new_versions_of_the_keys_that_are_counted(
    harness: KeyringHarness,
) -> None:
    before = harness.ring()
    sealed = before.active_field_key(CARD).seal(b"4111", scope="field", token="t")
    before.close()
    harness.table.identity = "elsewhere"
    after = harness.ring()
    assert (active(harness, CARD), active(harness, SSN)) == ([2], [2])
    assert active(harness, CARD, "index") == [1]
    assert after.audit_key(DEFAULT_TENANT).version == 1
    assert after.for_encryption(CARD, 1).version == 2
    assert after.field_key(CARD, 1).open(sealed, scope="field", token="t") == b"4111"
    after.reload()
    assert active(harness, CARD) == [2]


def test_what_makes_tokens_stays_over_a_restore_but_not_over_a_used_up_key(
    harness: KeyringHarness,
) -> None:
    ring = harness.ring(max_uses=1000)
    for identity in ("elsewhere", "and back"):
        harness.table.identity = identity
        ring.reload()
    assert (ring.active_field_key(CARD).version, ring.token_field_key(CARD).version) == (3, 1)
    ring.for_encryption(CARD, 1000)
    ring.for_encryption(CARD, 1)
    assert (ring.active_field_key(CARD).version, ring.token_field_key(CARD).version) == (4, 4)


def test_replicas_that_find_a_restored_database_begin_one_version(harness: KeyringHarness) -> None:
    rings = [harness.ring(), harness.ring()]
    harness.table.identity = "elsewhere"
    racing = threading.Barrier(2)
    generate = harness.wrapper.generate

    def late_generate(contexts: Sequence[bytes]) -> Sequence[str]:
        racing.wait(5)
        return generate(contexts)

    harness.wrapper.generate = late_generate  # type: ignore[method-assign]
    threads = [threading.Thread(target=ring.reload) for ring in rings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sealed = rings[0].active_field_key(CARD).seal(b"4111", scope="field", token="t")
    assert rings[1].active_field_key(CARD).open(sealed, scope="field", token="t") == b"4111"
    assert active(harness, CARD) == [2]


def test_a_counter_that_was_set_back_begins_a_new_version(harness: KeyringHarness) -> None:
    ring = harness.ring(block=1000)
    ring.for_encryption(CARD, 1000)
    ring.for_encryption(CARD, 1000)
    place = (DEFAULT_TENANT, "card_number", "field", 1)
    harness.table.records[place] = replace(harness.table.records[place], uses=1000)
    assert ring.for_encryption(CARD, 1000).version == 2
    assert ring.token_field_key(CARD).version == 1


def test_no_key_is_made_beside_keys_that_do_not_open(harness: KeyringHarness) -> None:
    harness.ring("card_number").close()
    harness.wrapper = Wrapper()  # another key server, or an older one
    before = dict(harness.table.records)
    with pytest.raises(KeysUnavailable) as refusal:
        harness.ring("card_number", "us_ssn")
    told = str(refusal.value)
    assert "3 of 3 data keys do not open (default audit version 1, card_number field" in told
    assert "no key is made" in told
    assert harness.table.records == before


def test_the_refusal_names_what_does_not_open_and_no_more(harness: KeyringHarness) -> None:
    harness.ring()
    place = (DEFAULT_TENANT, "us_ssn", "index", 1)
    wrapped = "vault:v7:" + "A" * 40
    harness.table.records[place] = replace(harness.table.records[place], wrapped=wrapped)
    with pytest.raises(KeysUnavailable) as refusal:
        harness.ring()
    told = str(refusal.value)
    assert "1 of 5 data keys do not open (us_ssn index version 1, wrapped by v7)" in told
    assert "AAAA" not in told


def test_a_refresh_that_fails_is_logged_once_for_each_cause(harness: KeyringHarness) -> None:
    ring = harness.ring()
    with capture_logs() as lines:
        harness.wrapper.away = True
        ring._refresher.refresh()
        ring._refresher.refresh()
        harness.wrapper.away = False
        kept = harness.table.records.pop((DEFAULT_TENANT, "us_ssn", "index", 1))
        ring._refresher.refresh()
        ring._refresher.refresh()
        harness.table.records[DEFAULT_TENANT, "us_ssn", "index", 1] = kept
        ring._refresher.refresh()
    told = [(line["event"], str(line.get("problem", ""))) for line in lines]
    (first, away), (second, lost), (last, _) = told
    assert (first, second, last) == (*2 * ("key_refresh_failing",), "key_refresh_recovered")
    assert "cannot be reached" in away
    assert "us_ssn index version 1: its row is missing" in lost


def test_keys_do_not_show_and_do_not_leave(harness: KeyringHarness) -> None:
    ring = harness.ring()
    assert repr(ring) == "<Keyring tenant=default fields=2>"
    for thing in (
        ring,
        ring.active_field_key(CARD),
        ring.index_key(CARD),
        ring.audit_key(DEFAULT_TENANT),
    ):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    shown = repr(ring._snapshot)
    for record in harness.table.records.values():
        assert record.wrapped not in shown


def _eventually(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
