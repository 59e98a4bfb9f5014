"""From the wire to the use cases and back: one function here per RPC, and no decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from vault.errors import InvalidRequest
from vault.model import Caller, Failure
from vault.policy.model import Policy
from vault.service.audit_access import AuditSearch, AuditService, Finding
from vault.service.audit_filter import AuditFilter
from vault.service.encryption import EncryptionService
from vault.service.policy_access import PolicyService
from vault.service.results import ColumnResult, TokenDescription, outcome_counts
from vault.service.tokenization import TokenizationService
from vault.v1 import audit_service_pb2 as audit
from vault.v1 import encryption_service_pb2 as encryption
from vault.v1 import item_error_pb2
from vault.v1 import policy_service_pb2 as policies
from vault.v1 import tokenization_service_pb2 as tokenization

__all__ = ["Ahead", "Answer", "BoundCall", "Method", "item_errors", "methods"]

Request = TypeVar("Request", bound=Message)

_MAX_FINDINGS = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it goes out, and how many items had which outcome."""

    encoded: bytes = field(repr=False)
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, message: Message, counts: Mapping[str, int] | None = None) -> Answer:
        """Writes a message out."""
        return cls(message.SerializeToString(), counts or {})


class Ahead:
    """Writes the answer of a column while its commit is on its way (``UnitOfWork.run``)."""

    answer: Answer

    def __init__(self, write: Callable[[ColumnResult], Message]) -> None:
        self._write = write

    def __call__(self, result: ColumnResult) -> None:
        """Takes the result."""
        counts = outcome_counts(len(result.values), result.failures)
        self.answer = Answer.of(self._write(result), counts)


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A parsed request with its use case.

    Attributes:
        field_name: the field the caller names, unchecked, or empty.
        items: number of items in the batch; None where the RPC takes no batch.
        run: does the work. Raises what the use case raises.
    """

    field_name: str = field(repr=False)
    items: int | None
    run: Callable[[Caller, Policy], Answer] = field(repr=False)


Method = Callable[[bytes], BoundCall]
"""Parses a request. Raises google.protobuf.message.DecodeError and InvalidRequest."""


def methods(
    tokens: TokenizationService,
    ciphertexts: EncryptionService,
    audits: AuditService,
    policies: PolicyService,
) -> Mapping[str, Method]:
    """Returns every RPC of the API by its full method name (``/vault.v1.X/Y``)."""
    return {
        **_tokenization(tokens),
        **_encryption(ciphertexts),
        **_audit(audits),
        **_policy(policies),
    }


def _method(
    kind: type[Request],
    run: Callable[[Caller, Policy, Request], Answer],
    *,
    field: Callable[[Request], str] = lambda _: "",
    items: Callable[[Request], int] = lambda _: 0,
    batch: bool = True,
) -> Method:
    def bind(raw: bytes) -> BoundCall:
        request = kind.FromString(raw)
        return BoundCall(
            field(request),
            items(request) if batch else None,
            lambda caller, policy: run(caller, policy, request),
        )

    return bind


def _tokenization(service: TokenizationService) -> Mapping[str, Method]:
    def tokenize(caller: Caller, policy: Policy, ask: tokenization.TokenizeRequest) -> Answer:
        ahead = Ahead(
            lambda result: tokenization.TokenizeResponse(
                tokens=result.values, errors=item_errors(result.failures)
            )
        )
        service.tokenize(caller, policy, ask.field, ask.values, ask.region, meanwhile=ahead)
        return ahead.answer

    def detokenize(caller: Caller, policy: Policy, ask: tokenization.DetokenizeRequest) -> Answer:
        ahead = Ahead(
            lambda result: tokenization.DetokenizeResponse(
                values=result.values, errors=item_errors(result.failures), view=result.view
            )
        )
        service.detokenize(caller, policy, ask.field, ask.tokens, ask.view, meanwhile=ahead)
        return ahead.answer

    def lookup(caller: Caller, policy: Policy, ask: tokenization.LookupRequest) -> Answer:
        result = service.lookup(caller, policy, ask.field, ask.values, ask.region)
        message = tokenization.LookupResponse(
            tokens=result.values, errors=item_errors(result.failures)
        )
        return Answer.of(message, outcome_counts(len(result.values), result.failures))

    def describe(caller: Caller, policy: Policy, ask: tokenization.DescribeRequest) -> Answer:
        result = service.describe(caller, policy, ask.field, ask.tokens)
        message = tokenization.DescribeResponse(
            descriptions=[_description(each) for each in result.descriptions],
            errors=item_errors(result.failures),
        )
        return Answer.of(message, outcome_counts(len(result.descriptions), result.failures))

    prefix = "/vault.v1.TokenizationService/"
    return {
        f"{prefix}Tokenize": _method(
            tokenization.TokenizeRequest,
            tokenize,
            field=lambda ask: ask.field,
            items=lambda ask: len(ask.values),
        ),
        f"{prefix}Detokenize": _method(
            tokenization.DetokenizeRequest,
            detokenize,
            field=lambda ask: ask.field,
            items=lambda ask: len(ask.tokens),
        ),
        f"{prefix}Lookup": _method(
            tokenization.LookupRequest,
            lookup,
            field=lambda ask: ask.field,
            items=lambda ask: len(ask.values),
        ),
        f"{prefix}Describe": _method(
            tokenization.DescribeRequest,
            describe,
            field=lambda ask: ask.field,
            items=lambda ask: len(ask.tokens),
        ),
    }


def _encryption(service: EncryptionService) -> Mapping[str, Method]:
    def encrypt(caller: Caller, policy: Policy, ask: encryption.EncryptRequest) -> Answer:
        result = service.encrypt(caller, policy, ask.field, ask.plaintexts, ask.context)
        message = encryption.EncryptResponse(
            ciphertexts=result.values, errors=item_errors(result.failures)
        )
        return Answer.of(message, outcome_counts(len(result.values), result.failures))

    def decrypt(caller: Caller, policy: Policy, ask: encryption.DecryptRequest) -> Answer:
        result = service.decrypt(caller, policy, ask.field, ask.ciphertexts, ask.context)
        message = encryption.DecryptResponse(
            plaintexts=result.values, errors=item_errors(result.failures)
        )
        return Answer.of(message, outcome_counts(len(result.values), result.failures))

    prefix = "/vault.v1.EncryptionService/"
    return {
        f"{prefix}Encrypt": _method(
            encryption.EncryptRequest,
            encrypt,
            field=lambda ask: ask.field,
            items=lambda ask: len(ask.plaintexts),
        ),
        f"{prefix}Decrypt": _method(
            encryption.DecryptRequest,
            decrypt,
            field=lambda ask: ask.field,
            items=lambda ask: len(ask.ciphertexts),
        ),
    }


def _audit(service: AuditService) -> Mapping[str, Method]:
    def verify_audit(caller: Caller, policy: Policy, ask: audit.VerifyAuditRequest) -> Answer:
        report = service.verify_audit(caller, policy, ask.checkpoint)
        return Answer.of(
            audit.VerifyAuditResponse(
                records=report.records,
                writers=report.writers,
                findings=_findings(report.findings),
            )
        )

    def tail_audit(caller: Caller, policy: Policy, ask: audit.TailAuditRequest) -> Answer:
        if ask.HasField("filter") or ask.before:
            page = service.search_audit(caller, policy, lambda: _search(ask))
        else:
            page = service.tail_audit(caller, policy, ask.position, ask.limit)
        records = [
            audit.AuditRecord(
                position=each.position, writer=each.writer, number=each.number, body=each.body
            )
            for each in page.records
        ]
        return Answer.of(
            audit.TailAuditResponse(
                records=records,
                next=page.next,
                lag=page.lag,
                findings=_findings(page.findings),
                first=page.first,
                last=page.last,
            )
        )

    def checkpoint_audit(caller: Caller, policy: Policy, _: audit.CheckpointAuditRequest) -> Answer:
        made = service.checkpoint_audit(caller, policy)
        return Answer.of(
            audit.CheckpointAuditResponse(
                checkpoint=made.text,
                time=_timestamp(made.time),
                findings=_findings(made.findings),
            )
        )

    return {
        "/vault.v1.AuditService/VerifyAudit": _method(
            audit.VerifyAuditRequest, verify_audit, batch=False
        ),
        "/vault.v1.AuditService/TailAudit": _method(
            audit.TailAuditRequest, tail_audit, batch=False
        ),
        "/vault.v1.AuditService/CheckpointAudit": _method(
            audit.CheckpointAuditRequest, checkpoint_audit, batch=False
        ),
    }


def _policy(service: PolicyService) -> Mapping[str, Method]:
    def get_policy(caller: Caller, policy: Policy, _: policies.GetPolicyRequest) -> Answer:
        current, standing = service.get_policy(caller, policy)
        # Another policy may have come into force since the call began.
        since = standing.since if standing.digest == current.digest else None
        return Answer.of(
            policies.GetPolicyResponse(
                digest=current.digest,
                document=current.document,
                effective_time=_timestamp(since),
                servers=[
                    policies.PolicyServer(name=name, digest=digest)
                    for name, digest in standing.servers
                ],
                file=policies.PolicyFile(
                    digest=standing.file_digest,
                    state=standing.state.value,
                    problem=standing.problem,
                    differs_since_time=_timestamp(standing.differs_since),
                ),
            )
        )

    return {
        "/vault.v1.PolicyService/GetPolicy": _method(
            policies.GetPolicyRequest, get_policy, batch=False
        ),
    }


def _search(ask: audit.TailAuditRequest) -> AuditSearch:
    given = ask.filter
    try:
        since = given.since.ToDatetime(UTC) if given.HasField("since") else None
        until = given.until.ToDatetime(UTC) if given.HasField("until") else None
    except (ValueError, OverflowError):
        raise InvalidRequest("a filter's time is no time of the years 1 to 9999") from None
    wanted = AuditFilter(
        since=since,
        until=until,
        principals=frozenset(given.principals),
        fields=frozenset(given.fields),
        outcomes=frozenset(given.outcomes),
        rpcs=frozenset(given.rpcs),
        writer=given.writer,
        number=given.number,
        request_id=given.request_id,
    )
    return AuditSearch(ask.position, ask.limit, ask.before, wanted)


def _findings(findings: Sequence[Finding]) -> Iterable[audit.AuditFinding]:
    return [
        audit.AuditFinding(
            writer=each.writer, number=each.number, kind=each.kind, message=each.message
        )
        for each in findings[:_MAX_FINDINGS]
    ]


def item_errors(failures: Mapping[int, Failure]) -> Iterable[item_error_pb2.ItemError]:
    """Writes a batch's failures as the answer has them, by rising index."""
    return [
        item_error_pb2.ItemError(
            index=index,
            reason=failure.reason.value,
            message=failure.message,
            retryable=failure.retryable,
        )
        for index, failure in sorted(failures.items())
    ]


def _description(known: TokenDescription | None) -> tokenization.TokenDescription:
    if known is None:
        return tokenization.TokenDescription()
    return tokenization.TokenDescription(
        format=known.format,
        generator=known.generator,
        storage=known.storage,
        key_version=known.key_version,
        create_time=_timestamp(known.created),
        expire_time=_timestamp(known.expires),
    )


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
