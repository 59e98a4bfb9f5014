"""ExplainAccess."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vault.model import Group, Justification
from vault.policy.explain import RelevantEntry
from vault.policy.limits import window_text
from vault.rpc.methods.registry import EncodedResponse, Rpc, RpcDefinition
from vault.service.access.explain_access import (
    AccessAnswer,
    AccessQuestion,
    AccessService,
    AccessSubject,
)
from vault.service.call import Call
from vault.v1 import policy_service_pb2 as pb

__all__ = ["access_rpcs"]


def access_rpcs(service: AccessService) -> Sequence[RpcDefinition]:
    """Returns the RPCs on what callers may do."""

    def explain_access(call: Call, ask: pb.ExplainAccessRequest) -> EncodedResponse:
        return EncodedResponse.from_message(_response(service.explain(call, _question(ask))))

    return (Rpc(pb.ExplainAccessRequest, lambda ask: ask.resource.id, None, explain_access),)


def _question(ask: pb.ExplainAccessRequest) -> AccessQuestion:
    context = ask.context
    return AccessQuestion(
        action=ask.action.name,
        field=ask.resource.id,
        view=ask.action.view,
        subject=_subject(ask.subject) if ask.HasField("subject") else None,
        justification=Justification(context.purpose, context.ticket),
        time=context.time.seconds if context.HasField("time") else None,
        address=context.address,
        resource=ask.resource.type,
    )


def _subject(subject: pb.AccessSubject) -> AccessSubject:
    groups = (Group(each.issuer, each.audience, each.claim, each.value) for each in subject.groups)
    return AccessSubject(subject.type, subject.id, tuple(groups))


def _response(answer: AccessAnswer) -> pb.ExplainAccessResponse:
    return pb.ExplainAccessResponse(
        decision=answer.reason is None,
        context=pb.AccessReasons(
            reason="" if answer.reason is None else answer.reason.value,
            message=answer.message,
            view=answer.view,
            roles=answer.explanation.roles,
            rules=_rules(answer.explanation.entries),
            budgets=[
                pb.AccessBudget(
                    view=each.view,
                    rule=each.rule,
                    values=each.quota.values,
                    per=window_text(each.quota.seconds),
                    left=each.left,
                )
                for each in answer.budgets
            ],
            notes=answer.explanation.unknown,
            policy_digest=answer.policy_digest,
        ),
    )


def _rules(entries: Iterable[RelevantEntry]) -> Iterable[pb.AccessRule]:
    return [
        pb.AccessRule(
            path=each.path,
            line=each.line,
            effect=each.effect.value,
            says=each.says,
            decides=each.decides,
            missing=[
                pb.AccessGap(reason=gap.reason.value, message=gap.message) for gap in each.missing
            ],
        )
        for each in entries
    ]
