"""Rows that the owner forges or loses: a start, or a message that names the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine

from tests.integration.conftest import AUDIT_KEY
from tests.integration.store.service_harness import POLICY, ServiceHarness, call
from vault.audit.chain_heads import ChainHeadPool
from vault.audit.integrator import Integrator
from vault.audit.named_manifests import read_named_manifests
from vault.audit.reading import PostgresAuditReader
from vault.errors import ConfigError, KeysUnavailable, Reason, TokenvaultError
from vault.keys.accepting import accept_keys
from vault.keys.keyring import Keyring
from vault.model import DEFAULT_TENANT, Failure
from vault.postgres.advisory_locks import AdvisoryLock
from vault.postgres.roles import GRANTS
from vault.postgres.schema_revision import check_schema
from vault.postgres.tampering import find_tampering, refuse_tampering
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.admission import Admission
from vault.service.budgets import Budgets
from vault.service.ports import unchanged
from vault.service.tokenization import TokenizationService
from vault.store import tokens
from vault.store.data_keys import PostgresDataKeyStore
from vault.store.find_sql import BY_ARRAY, ONE_BY_ONE, LookupStatements
from vault.store.policy_coordinator import AuthenticatedPolicy, PolicyCoordinator
from vault.testing.keys import LocalKeyWrapper

Owner = psycopg.Connection[tuple[object, ...]]
MOST = 2**63 - 1
VALUES = [f"{n:09d}" for n in range(5)]
POLICY_FILE = AuthenticatedPolicy("0" * 64, "", 1, bytes(32))


class Start:
    """What a server does from its first look at the database to its first call, and again."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.wrapper = LocalKeyWrapper()

    def __call__(self) -> None:
        check_schema(self.engine)
        refuse_tampering(self.engine)
        store = PostgresDataKeyStore(self.engine)
        named_manifests = partial(read_named_manifests, self.engine)
        keys = Keyring(store, self.wrapper, POLICY.fields, named_manifests=named_manifests)
        keys.reload()
        name, server = "server", uuid4()
        PolicyCoordinator(self.engine, DEFAULT_TENANT, server, name, _unrecorded).report(
            POLICY_FILE
        )
        heads = ChainHeadPool(name, lambda: keys.audit_key(DEFAULT_TENANT))
        work = PostgresUnitOfWork(self.engine, heads)
        tokens = TokenizationService(Admission(work, Budgets(keys)), keys)
        for field in ("kept", "dated"):
            tokens.tokenize(call("Tokenize"), field, VALUES, "", unchanged)


def _unrecorded(*_: object) -> None:
    """In the place of the audit's record."""


@pytest.fixture
def start(engine: Engine) -> Start:
    made = Start(engine)
    made()
    return made


@pytest.mark.parametrize("table", GRANTS)
def test_an_empty_table_is_named_or_served(start: Start, owner: Owner, table: str) -> None:
    owner.execute(f"TRUNCATE {table} CASCADE".encode())
    try:
        start()
    except TokenvaultError as error:
        said = {"schema_serves": "migrate", "alembic_version": "migrate"}
        assert said.get(table, table.replace("_", " ")) in error.message.replace("_", " ")
    else:
        start()


def test_a_lost_tweak_version_is_named_with_its_repair(start: Start, owner: Owner) -> None:
    owner.execute("TRUNCATE tweak_versions CASCADE")
    with start.engine.connect() as connection:
        (found,) = find_tampering(connection)
    assert found.startswith("table tweak_versions lacks version 2: INSERT INTO")
    with pytest.raises(ConfigError, match="tweak_versions"):
        start()
    owner.execute(found.split(": ")[1].encode())
    start()


def test_a_forged_epoch_is_named(start: Start, owner: Owner) -> None:
    owner.execute(f"INSERT INTO key_epochs VALUES ({MOST}, '', 'told')")
    with pytest.raises(TokenvaultError, match="WHERE epoch > 4294967296"):
        start()
    owner.execute("DELETE FROM key_epochs WHERE epoch > 4294967296")
    start()


def test_a_forged_generation_is_named(start: Start, owner: Owner) -> None:
    owner.execute(
        f"INSERT INTO key_manifest SELECT tenant, {MOST}, document, key_version, mac"
        " FROM key_manifest"
    )
    store = PostgresDataKeyStore(start.engine)
    with pytest.raises(KeysUnavailable, match=f"WHERE number = {MOST}"):
        accept_keys(store, start.wrapper, DEFAULT_TENANT, set())
    owner.execute(f"DELETE FROM key_manifest WHERE number = {MOST}")
    assert accept_keys(store, start.wrapper, DEFAULT_TENANT, set()).generation == 2
    start()


def test_a_forged_writer_is_named(start: Start, owner: Owner) -> None:
    owner.execute("INSERT INTO audit_writers VALUES (%s, %s, '', now())", [MOST, UUID(int=7)])
    with pytest.raises(TokenvaultError, match=f"audit_writers has a writer {MOST}"):
        start()


def test_a_key_that_is_said_to_be_used_up_is_followed_by_another(
    start: Start, owner: Owner
) -> None:
    owner.execute("DELETE FROM token_index")
    owner.execute(f"UPDATE data_keys SET uses = {MOST}")
    start()
    rows = owner.execute(
        "SELECT max(version) FROM data_keys WHERE field = 'dated' AND purpose = 'field'"
    )
    assert rows.fetchone() == (2,)


def test_forged_ends_of_the_log_are_named(start: Start, owner: Owner) -> None:
    def refusal() -> str:
        with pytest.raises(TokenvaultError) as caught:
            Integrator(start.engine, lambda: AUDIT_KEY, lambda _: AUDIT_KEY).integrate()
        return caught.value.message

    owner.execute(f"INSERT INTO audit_heads VALUES ('{UUID(int=1)}', {MOST}, '', 1, '')")
    owner.execute(f"INSERT INTO audit_log VALUES ({MOST}, '{UUID(int=1)}', {MOST}, '', sha256(''))")
    assert f"last entry is {MOST}" in refusal()
    owner.execute(f"INSERT INTO audit_roots VALUES ({MOST}, 1, sha256(''), sha256(''), sha256(''))")
    assert f"root over {MOST} entries was edited" in refusal()
    assert PostgresAuditReader(start.engine, lambda _: AUDIT_KEY).page(0, 5).seen == MOST


def test_a_refused_statement_names_table_and_constraint(
    harness: ServiceHarness, owner: Owner
) -> None:
    owner.execute("ALTER TABLE tokens ADD CONSTRAINT sly CHECK (state <> 'live') NOT VALID")
    with pytest.raises(TokenvaultError, match=r"\(23514\): table tokens, constraint sly"):
        harness.tokenize("dated", VALUES)


def test_a_tombstone_that_still_has_its_ciphertext_is_not_opened(
    harness: ServiceHarness, owner: Owner
) -> None:
    """As a restore without constraints can leave it."""
    erased, expired, live = tokens = harness.tokenize("kept", VALUES[:3])
    owner.execute("ALTER TABLE tokens DROP CONSTRAINT tombstone_has_no_ciphertext")
    for token, state in ((erased, "erased"), (expired, "expired")):
        owner.execute("UPDATE tokens SET state = %s WHERE token = %s", [state, token])
    answer = harness.detokenize("kept", tokens)
    reasons = {at: failure.reason for at, failure in answer.failures.items()}
    assert reasons == {0: Reason.TOKEN_ERASED, 1: Reason.TOKEN_EXPIRED}
    assert list(answer.values) == ["", "", VALUES[2]]
    assert list(harness.detokenize("kept", [live]).values) == [VALUES[2]]


@dataclass(frozen=True)
class Damage:
    """What a row's column is set to, though a constraint would not have it, and who reads it."""

    column: str
    value: str
    read_by_look_ups: bool = False
    shown: bool = False

    def do(self, owner: Owner, token: str) -> None:
        owner.execute("ALTER TABLE tokens DROP CONSTRAINT tombstone_has_no_ciphertext")
        check = f"tokens_{self.column}_check"
        owner.execute(f"ALTER TABLE tokens DROP CONSTRAINT IF EXISTS {check}".encode())
        owner.execute(f"ALTER TABLE tokens ALTER {self.column} DROP NOT NULL".encode())
        changed = f"UPDATE tokens SET {self.column} = {self.value} WHERE token = %s"
        owner.execute(changed.encode(), [token])


DAMAGES = [
    Damage("state", "'odd'", read_by_look_ups=True),
    Damage("state", "NULL", read_by_look_ups=True),
    Damage("key_version", "NULL", read_by_look_ups=True, shown=True),
    Damage("key_version", "-1", read_by_look_ups=True, shown=True),
    Damage("scope", "'odd'"),
    Damage("generator", "'odd'"),
    Damage("generator", "NULL"),
    Damage("created", "'infinity'", shown=True),
    Damage("created", "'4000-01-01 BC'", shown=True),
    Damage("expires", "'infinity'", shown=True),
]
every_damage = pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: str(each))


def reasons(failures: Mapping[int, Failure]) -> dict[int, Reason]:
    return {at: failure.reason for at, failure in failures.items()}


@every_damage
def test_a_damaged_row_fails_its_own_item_alone(
    harness: ServiceHarness, owner: Owner, damage: Damage
) -> None:
    tokens = harness.tokenize("kept", VALUES[:3])
    damage.do(owner, tokens[1])
    unread = {1: Reason.DECRYPTION_FAILED} if damage.read_by_look_ups else {}
    again = harness.tokens.tokenize(call("Tokenize"), "kept", VALUES[:3], "", unchanged)
    found, opened = harness.lookup("kept", VALUES[:3]), harness.detokenize("kept", tokens)
    for answer, whole in ((again, tokens), (found, tokens), (opened, VALUES[:3])):
        assert reasons(answer.failures) == unread
        assert list(answer.values) == [whole[0], "" if unread else whole[1], whole[2]]
    described = harness.tokens.describe(call("Describe"), "kept", tokens, unchanged)
    assert reasons(described.failures) == ({} if damage.shown else {1: Reason.DECRYPTION_FAILED})


@every_damage
def test_a_damaged_row_is_erased_by_its_token_or_named(
    harness: ServiceHarness, owner: Owner, damage: Damage
) -> None:
    tokens = harness.tokenize("kept", VALUES[:3])
    damage.do(owner, tokens[1])
    by_value = harness.erase("kept", values=VALUES[1:2])
    assert by_value.failures.keys() <= {0}
    assert set(reasons(by_value.failures).values()) <= {Reason.DECRYPTION_FAILED}
    assert harness.erase("kept", tokens=tokens).failures == {}
    assert owner.execute("SELECT count(ciphertext) FROM tokens").fetchone() == (0,)


def test_a_doubled_index_row_fails_its_own_value_alone(
    harness: ServiceHarness, owner: Owner
) -> None:
    tokens = harness.tokenize("kept", VALUES[:3])
    owner.execute("ALTER TABLE token_index DROP CONSTRAINT token_index_pkey")
    owner.execute("INSERT INTO token_index SELECT * FROM token_index WHERE token = %s", [tokens[1]])
    answer = harness.lookup("kept", VALUES[:3])
    assert list(answer.values) == [tokens[0], "", tokens[2]]
    assert reasons(answer.failures) == {1: Reason.DECRYPTION_FAILED}


@every_damage
def test_a_damaged_row_is_erased_by_its_value_in_any_spelling(
    harness: ServiceHarness, owner: Owner, damage: Damage
) -> None:
    tokens = harness.tokenize("kept", VALUES[:3])
    damage.do(owner, tokens[1])
    page = harness.spellings("kept", VALUES[1:2])
    assert (page.found, page.tokens, page.looked_at) == ({0: 1}, 1, 3)
    left = owner.execute(
        "SELECT array_agg(token ORDER BY token) FROM tokens WHERE ciphertext IS NOT NULL"
    )
    assert left.fetchone() == (sorted([tokens[0], tokens[2]]),)
    assert harness.spellings("kept", VALUES[1:2]).found == {}


@pytest.mark.parametrize("chosen", [BY_ARRAY, ONE_BY_ONE], ids=["array", "one by one"])
@pytest.mark.parametrize("field", ["kept", "dated"])
def test_a_value_with_two_index_rows_has_no_token(
    harness: ServiceHarness,
    owner: Owner,
    monkeypatch: pytest.MonkeyPatch,
    chosen: LookupStatements,
    field: str,
) -> None:
    monkeypatch.setattr(tokens, "lookup_statements", lambda _: chosen)
    made = harness.tokenize(field, VALUES[:3])
    owner.execute("ALTER TABLE token_index DROP CONSTRAINT token_index_pkey")
    owner.execute(
        "INSERT INTO token_index SELECT tenant, field, scope, index_version, mac, %s"
        " FROM token_index WHERE token = %s",
        [made[0], made[1]],
    )
    again = harness.tokens.tokenize(call("Tokenize"), field, VALUES[:3], "", unchanged)
    for answer in (again, harness.lookup(field, VALUES[:3])):
        assert list(answer.values) == [made[0], "", made[2]]
        assert reasons(answer.failures) == {1: Reason.DECRYPTION_FAILED}
    # Whichever was taken, the other could be of the same value: nobody is told that it is gone.
    erased = harness.erase(field, values=VALUES[1:3])
    assert reasons(erased.failures) == {0: Reason.DECRYPTION_FAILED}
    assert harness.spellings(field, VALUES[1:2]).found == {0: 1}


def test_reaper_and_integrator_do_not_keep_each_other_out() -> None:
    assert len(set(AdvisoryLock)) == len(AdvisoryLock.__members__)
    # As the release before has it: its servers run beside this one's.
    assert int(AdvisoryLock.INTEGRATION) == 0x746F6B656E04
