"""VerifyAudit, TailAudit, CheckpointAudit and ProveAudit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC

from vault.errors import InvalidRequest
from vault.rpc.methods.messages import timestamp
from vault.rpc.methods.registry import EncodedResponse, Rpc, RpcDefinition
from vault.service.audit import AuditSearch, AuditService, Finding, PositionedRecord
from vault.service.audit_filter import AuditFilter
from vault.service.call import Call
from vault.v1 import audit_service_pb2 as pb

__all__ = ["audit_rpcs"]

_MAX_FINDINGS = 1000


def audit_rpcs(service: AuditService) -> Sequence[RpcDefinition]:
    """Returns the RPCs on the audit."""

    def verify_audit(call: Call, ask: pb.VerifyAuditRequest) -> EncodedResponse:
        report = service.verify_audit(call, ask.checkpoint)
        return EncodedResponse.from_message(
            pb.VerifyAuditResponse(
                records=report.records,
                writers=report.writers,
                findings=_findings(report.findings),
            )
        )

    def tail_audit(call: Call, ask: pb.TailAuditRequest) -> EncodedResponse:
        if ask.HasField("filter") or ask.before:
            page = service.search_audit(call, lambda: _search(ask))
        else:
            page = service.tail_audit(call, ask.position, ask.limit, peaks=ask.peaks)
        records = [_record(each) for each in page.records]
        return EncodedResponse.from_message(
            pb.TailAuditResponse(
                records=records,
                next=page.next,
                lag=page.lag,
                findings=_findings(page.findings),
                first=page.first,
                last=page.last,
                peaks=page.peaks,
            )
        )

    def checkpoint_audit(call: Call, _: pb.CheckpointAuditRequest) -> EncodedResponse:
        made = service.checkpoint_audit(call)
        return EncodedResponse.from_message(
            pb.CheckpointAuditResponse(
                checkpoint=made.text,
                time=timestamp(made.time),
                findings=_findings(made.findings),
            )
        )

    def prove_audit(call: Call, ask: pb.ProveAuditRequest) -> EncodedResponse:
        proof = service.prove_audit(call, ask.position, ask.old_size)
        return EncodedResponse.from_message(
            pb.ProveAuditResponse(
                checkpoint=proof.checkpoint,
                record=_record(proof.record) if proof.record is not None else None,
                inclusion=proof.inclusion,
                consistency=proof.consistency,
            )
        )

    return (
        Rpc(pb.VerifyAuditRequest, None, None, verify_audit),
        Rpc(pb.TailAuditRequest, None, None, tail_audit),
        Rpc(pb.CheckpointAuditRequest, None, None, checkpoint_audit),
        Rpc(pb.ProveAuditRequest, None, None, prove_audit),
    )


def _search(ask: pb.TailAuditRequest) -> AuditSearch:
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
        purposes=frozenset(given.purposes),
        persons=frozenset(given.persons),
        grants=frozenset(given.grants),
    )
    return AuditSearch(ask.position, ask.limit, ask.before, wanted)


def _record(record: PositionedRecord) -> pb.AuditRecord:
    return pb.AuditRecord(
        position=record.position,
        writer=record.writer,
        number=record.number,
        body=record.body,
        mac=record.mac,
        body_digest=record.body_digest,
        leaf=record.leaf,
        pruned=record.pruned,
    )


def _findings(findings: Sequence[Finding]) -> Iterable[pb.AuditFinding]:
    return [
        pb.AuditFinding(
            writer=each.writer, number=each.number, kind=each.kind, message=each.message
        )
        for each in findings[:_MAX_FINDINGS]
    ]
