"""Everything behind the listener: database, keys, policy, use cases, opened in order."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import uuid4

from sqlalchemy import Connection, Engine

from vault.audit.chain import FindingKind
from vault.audit.chain_heads import ChainHeadPool
from vault.audit.erasure_monitor import ErasureMonitor
from vault.audit.integrator import Integrator
from vault.audit.memory import RememberedAudit
from vault.audit.monitor import AuditMonitor
from vault.audit.named_manifests import read_named_manifests
from vault.audit.queries import PostgresAuditQueries
from vault.audit.reading import PostgresAuditReader
from vault.audit.record import NamedManifest
from vault.audit.transaction_appender import transaction_appender
from vault.audit.tree.stored_tree import StoredTree
from vault.config import DatabaseSettings, Settings, read_secret
from vault.crypto.field_key import MacKey
from vault.errors import KeysUnavailable
from vault.keys.hashicorp import HashicorpKeyWrapper
from vault.keys.keyring import Keyring
from vault.model import DEFAULT_TENANT, AuditEvent, Caller
from vault.policy.model import Policy
from vault.postgres.address_options import warn_of_weakness
from vault.postgres.engine import make_engine
from vault.postgres.roles import refuse_privileged
from vault.postgres.schema_revision import check_schema
from vault.postgres.tampering import find_tampering, refuse_tampering
from vault.postgres.transaction import retried, transaction
from vault.rpc.methods.access import access_rpcs
from vault.rpc.methods.audit import audit_rpcs
from vault.rpc.methods.columns import column_rpcs
from vault.rpc.methods.encryption import encryption_rpcs
from vault.rpc.methods.erasure import erasure_rpcs
from vault.rpc.methods.freezes import freeze_rpcs
from vault.rpc.methods.honey import honey_rpcs
from vault.rpc.methods.policy import policy_rpcs
from vault.rpc.methods.registry import Method, registry
from vault.rpc.methods.reveal import reveal_rpcs
from vault.rpc.methods.tokenization import tokenization_rpcs
from vault.server.audit.integration import IntegrationTask
from vault.server.audit.publishing import publishing_tasks
from vault.server.freezes.refreshing import FreezeRefresher, Watched
from vault.server.health import Probe
from vault.server.policy_authenticator import PolicyAuthenticator
from vault.server.policy_file import PolicyFile
from vault.server.policy_source import PolicySource
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.server.unmatched_principals import UnmatchedPrincipals
from vault.server.webhooks.tasks import notices_for, sending_tasks
from vault.service.access.explain_access import AccessService
from vault.service.admission import Admission
from vault.service.audit import AuditService, Finding
from vault.service.budgets import Budgets
from vault.service.encryption import EncryptionService
from vault.service.erasure.erase import ErasureService
from vault.service.erasure.expiry import ExpiryService
from vault.service.erasure.spellings import SpellingService
from vault.service.format_space import format_space_left
from vault.service.freezes.counting import TouchCounter
from vault.service.freezes.freezes import FreezeService
from vault.service.freezes.rows import FreezeRows
from vault.service.freezes.watch import FreezeWatch
from vault.service.honey.alarm import TouchAlarm
from vault.service.honey.honey_tokens import HoneyService
from vault.service.honey.known import KnownHoney
from vault.service.honey.sets import HoneyRows
from vault.service.policy import PolicyService
from vault.service.reveal.asking import RequestService
from vault.service.reveal.reveals import RevealService
from vault.service.token_specs import check_token_specs
from vault.service.tokenization import TokenizationService
from vault.store.data_keys import PostgresDataKeyStore
from vault.store.policy_coordinator import PolicyCoordinator
from vault.telemetry.emergency_alert import EmergencyAlert
from vault.telemetry.metrics import AuditMetrics, PolicyMetrics, WebhookMetrics
from vault.telemetry.refused_rows import RefusedRows
from vault.telemetry.spans import OFF, Spans, TracedKeyWrapper

__all__ = ["Backend", "open_backend", "replica_name"]

# For key uses, which are reserved while a call's transaction is open, and for probes, the
# policy's exchange, the reaper and the audit's integration, which must not queue behind calls.
_SIDE_CONNECTIONS = 6
_FORMAT_SPACE_SECONDS = 10.0
_PROBE_PATIENCE = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Backend:
    """What the listeners, the probes and the periodic tasks of this process need.

    Attributes:
        methods: the RPCs by full method name.
        policy: returns the policy in force. Raises StoreUnavailable.
        reload: reads the policy file again. Safe in a signal handler.
        audit: writes one audit record in a transaction of its own.
        frozen: raises Denied for a caller who is frozen. Raises StoreUnavailable.
        reap: tombstones a batch of expired tokens; returns how many. Raises TokenvaultError.
        probes: what readiness depends on, by name.
        format_space_left: measures the share of tokens left, by field. Raises TokenvaultError.
    """

    methods: Mapping[str, Method]
    policy: Callable[[], Policy]
    reload: Callable[[], None]
    audit: Callable[[AuditEvent], None]
    frozen: Callable[[Caller], None]
    reap: Callable[[], int]
    probes: Mapping[str, Probe]
    format_space_left: Callable[[], Mapping[str, float]]


@contextmanager
def open_backend(
    settings: Settings,
    audit_metrics: AuditMetrics,
    policy_metrics: PolicyMetrics,
    webhook_metrics: WebhookMetrics,
    spans: Spans = OFF,
) -> Iterator[Backend]:
    """Opens everything for the length of the block.

    Raises:
        ConfigError: a secret file, a privileged database role, a root token, a schema
            that is not this version's.
        PolicyError: the policy file is wrong, or changes the token spec of a used field.
        StoreUnavailable, KeysUnavailable: Postgres or the key server is unavailable.
    """
    file = PolicyFile(settings.policy.path)
    first = file.read()
    with ExitStack() as stack:
        engine = _engine(settings.database, settings.database.pool_size, "tokenvault")
        stack.callback(engine.dispose)
        side = _engine(settings.database, _SIDE_CONNECTIONS, "tokenvault keys")
        stack.callback(side.dispose)
        warn_of_weakness(engine.url)
        check_schema(engine)
        refuse_privileged(engine)
        refuse_tampering(engine)
        wrapper, keyring = _open_keys(stack, settings, side, first, spans)
        replica = replica_name(settings)
        audit_key, audit_key_of = _audit_keys(keyring)
        chain_heads = ChainHeadPool(replica, audit_key, lambda: _named_manifest(keyring))
        work = PostgresUnitOfWork(engine, chain_heads, spans)

        prepare = _preparing(settings, work, keyring)
        prepare(first)
        coordinator = PolicyCoordinator(
            side,
            DEFAULT_TENANT,
            uuid4(),
            replica,
            lambda opened, change: transaction_appender(opened, chain_heads).append_policy_change(
                change
            ),
        )
        authenticator = PolicyAuthenticator(
            DEFAULT_TENANT, lambda version: keyring.audit_key(DEFAULT_TENANT, version)
        )
        policies = PolicySource(
            file,
            first,
            coordinator,
            authenticator,
            prepare,
            differs=policy_metrics.set_differs_since,
        )
        stack.callback(policies.close)
        policies.start()
        refused = RefusedRows(audit_metrics)
        budgets = Budgets(keyring, refused.budget)
        freeze_rows = FreezeRows(keyring)
        freezes = FreezeWatch(freeze_rows, refused.freeze)
        honey = KnownHoney(HoneyRows(keyring), refused.honey)
        alarm = TouchAlarm(honey, freezes)
        admission = Admission(work, budgets, alarm=alarm)
        side_work = PostgresUnitOfWork(side, chain_heads)
        notices = notices_for(settings.webhooks, keyring)
        counter = TouchCounter(side_work, freeze_rows, freezes, policies.current, notices)
        watched = Watched(freezes, honey, alarm)
        refresher = FreezeRefresher(side_work, watched, counter, audit_metrics)
        _start(stack, [refresher])
        expiry = ExpiryService(side_work, keyring, policies.current, settings.reaper.batch)
        integrator = Integrator(side, audit_key, audit_key_of)
        readers = [
            PostgresAuditReader(
                each,
                audit_key_of,
                lambda: RememberedAudit(chain_heads.last_committed(), integrator.last_log()),
                [_altered_tables],
            )
            for each in (engine, side)
        ]
        for each in readers:
            each.note_origin()
        checks = [
            AuditMonitor(readers[1], chain_heads.last_committed).check,
            ErasureMonitor(side, audit_key_of).check,
        ]
        integration = IntegrationTask(
            integrator, audit_metrics, lambda: [found for check in checks for found in check()]
        )
        stack.callback(integration.close)
        integration.start()
        audit_queries = PostgresAuditQueries(
            readers[0], audit_key, audit_key_of, keyring.mismatches
        )
        publishing = publishing_tasks(
            settings.audit,
            readers[1].log,
            StoredTree(side),
            audit_key,
            audit_metrics.count_unpublished,
        )
        sending = sending_tasks(
            settings.webhooks, side_work, keyring, refused.notice, webhook_metrics
        )
        _start(stack, publishing)
        _start(stack, sending)
        tokens = TokenizationService(admission, keyring, refused.reveal)
        yield Backend(
            methods=registry(
                tokenization_rpcs(tokens),
                column_rpcs(tokens),
                erasure_rpcs(
                    ErasureService(admission, keyring), SpellingService(admission, keyring)
                ),
                encryption_rpcs(EncryptionService(admission, keyring, refused.reveal)),
                audit_rpcs(AuditService(admission, audit_queries)),
                reveal_rpcs(
                    RequestService(
                        admission,
                        keyring,
                        refused.reveal,
                        notices,
                        EmergencyAlert(audit_metrics.count_break_glass),
                    ),
                    RevealService(admission, keyring, refused.reveal, notices),
                ),
                honey_rpcs(HoneyService(admission, keyring)),
                freeze_rpcs(FreezeService(admission, freeze_rows, freezes)),
                policy_rpcs(PolicyService(admission, policies.status)),
                access_rpcs(AccessService(admission, budgets)),
            ),
            policy=policies.current,
            reload=policies.reload,
            audit=admission.record,
            frozen=freezes.check,
            reap=expiry.reap,
            probes={
                "database": lambda: _probe_database(side),
                "keys": lambda: _probe_keys(keyring, wrapper),
                "policy": policies.probe,
                "policy_file": policies.probe_file,
                "audit": integration.probe,
            },
            format_space_left=lambda: _measure_format_space(work, policies.current()),
        )


class _Task(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


def _start(stack: ExitStack, tasks: Iterable[_Task]) -> None:
    """Starts tasks; they are stopped with the stack, the last first."""
    for task in tasks:
        stack.callback(task.stop)
        task.start()


def _open_keys(
    stack: ExitStack, settings: Settings, side: Engine, first: Policy, spans: Spans
) -> tuple[HashicorpKeyWrapper, Keyring]:
    """Logs in to the key server and loads the keys of the first policy's fields."""
    wrapper = HashicorpKeyWrapper(settings.keys, refuse_root=True)
    stack.callback(wrapper.close)
    wrapper.log_in()
    keyring = Keyring(
        PostgresDataKeyStore(side),
        TracedKeyWrapper(wrapper, spans),
        first.fields,
        lifetime=settings.keys.lifetime.total_seconds(),
        named_manifests=partial(read_named_manifests, side),
    )
    stack.callback(keyring.close)
    keyring.start()
    return wrapper, keyring


def _preparing(
    settings: Settings, work: PostgresUnitOfWork, keyring: Keyring
) -> Callable[[Policy], None]:
    """Returns what is done before a policy may come into force. It raises what is wrong with it."""
    unmatched = UnmatchedPrincipals(settings)

    def prepare(policy: Policy) -> None:
        work.run(
            lambda transaction: check_token_specs(policy, transaction.token_specs, DEFAULT_TENANT)
        )
        keyring.ensure(policy.fields)
        unmatched.warn(policy)

    return prepare


def _altered_tables(connection: Connection) -> Sequence[Finding]:
    found = find_tampering(connection)
    return [Finding("", 0, FindingKind.ALTERED_TABLE.value, each) for each in found]


def _engine(settings: DatabaseSettings, connections: int, application: str) -> Engine:
    password = None
    if settings.password_file is not None:
        password = read_secret(settings.password_file, "database.password_file")
    return make_engine(
        settings.url, password=password, pool_size=connections, application=application
    )


def replica_name(settings: Settings) -> str:
    """Returns this process's name in audit and traces."""
    return f"{settings.audit.replica or platform.node()}:{os.getpid()}"


def _named_manifest(keyring: Keyring) -> NamedManifest | None:
    manifest = keyring.manifest()
    return NamedManifest(*manifest) if manifest is not None else None


def _audit_keys(keyring: Keyring) -> tuple[Callable[[], MacKey], Callable[[int], MacKey]]:
    """Returns where the active audit key is, and that of a version."""
    return (
        lambda: keyring.audit_key(DEFAULT_TENANT),
        lambda version: keyring.audit_key(DEFAULT_TENANT, version),
    )


def _measure_format_space(work: PostgresUnitOfWork, policy: Policy) -> Mapping[str, float]:
    return work.run(
        lambda transaction: format_space_left(transaction.tokens, policy, DEFAULT_TENANT),
        deadline=time.monotonic() + _FORMAT_SPACE_SECONDS,
    )


def _probe_database(engine: Engine) -> None:
    deadline = time.monotonic() + _PROBE_PATIENCE

    def attempt() -> None:
        with transaction(engine, deadline):
            pass

    # A connection that died while it was idle shows nothing of how the database is now.
    retried(attempt, deadline)


def _probe_keys(keyring: Keyring, wrapper: HashicorpKeyWrapper) -> None:
    keys, server = keyring.status(), wrapper.status()
    if not keys.ready:
        raise KeysUnavailable(f"the keys have expired, calls fail: {keys.message}")
    problem = keys.message or server.message
    if problem:
        raise KeysUnavailable(f"{problem}; keys serve {keys.seconds_left:.0f} s from memory")
