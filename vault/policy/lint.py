"""Warnings about a policy that is valid but weak: ``tokenvault policy check``.

What is unsafe is refused when the file is read; what is found here is allowed but weak,
or probably not what its author meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from vault.formats import FiniteFormatSpace, HasFirstCharacters, UnboundedFormatSpace
from vault.model import Action, Generator, Group, OnDenied, Scope, Storage
from vault.policy.model import SMALL_DOMAIN, Field, Policy
from vault.policy.reading.entry import listed
from vault.policy.reading.field_entry import MIN_EFFECTIVE_DOMAIN, MIN_FF3_1_EFFECTIVE_DOMAIN
from vault.policy.roles import VIEWED, Binding, Rights, Rule
from vault.policy.views import FULL

__all__ = ["LOW_ENTROPY", "LintFinding", "Severity", "lint"]

LOW_ENTROPY = 10**12
"""Under this many values a list of all of them is a day's work, not a lifetime's."""

_SOON_FILLED = 10**9
"""As many tokens as can be stored in about a day, and then there is none for a new value."""

_FORMULA = frozenset("=+-@")
"""What a cell begins with that a spreadsheet takes for a formula."""

_ORACLES = (Action.TOKENIZE, Action.LOOKUP)
# Whoever holds two of these can do harm and hide it, or look through what was hidden.
# Actions of which nobody should hold two, and why.
_APART = (
    (
        {Action.ERASE, Action.READ_AUDIT},
        "who erases should not be the one who checks what was done; split them between principals",
    ),
    (
        {Action.REQUEST_REVEAL, Action.APPROVE_REVEAL, Action.READ_AUDIT},
        "who asks for values, who approves and who checks it afterwards should be three people; "
        "split them between groups",
    ),
)
_DAY = 86_400
_QUICK = 365


class Severity(StrEnum):
    """How much a finding matters."""

    WARNING = "warning"
    """Weak: accept it knowingly or change it."""

    NOTE = "note"
    """Perhaps not meant."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing worth a second look.

    Attributes:
        line: where it is in the file, from 1.
        path: key path, such as ``fields.card_number``.
    """

    severity: Severity
    line: int
    path: str
    message: str

    def text(self, source: str) -> str:
        """Returns the finding as one line, ``source:line: severity: path: message``."""
        return f"{source}:{self.line}: {self.severity}: {self.path}: {self.message}"


def lint(policy: Policy) -> list[LintFinding]:
    """Returns what is weak or odd in a policy, in file order."""
    findings = [
        *(each for field in policy.fields.values() for each in _check_field(policy, field)),
        *_check_roles(policy),
        *_check_purposes(policy),
        *_check_freezes(policy),
        *(each for binding in policy.bindings for each in _check_binding(policy, binding)),
    ]
    return sorted(findings, key=lambda finding: finding.line)


def _check_freezes(policy: Policy) -> Iterator[LintFinding]:
    if not policy.freezes:
        return
    people = [each for each in policy.bindings if isinstance(each.principal, Group)]
    rights = (policy.rights_with(each.roles) for each in people)
    if not any(each.allows(Action.MANAGE_FREEZES, None) for each in rights):
        yield LintFinding(
            Severity.WARNING,
            policy.freezes[0].line,
            "freezes",
            "nobody can lift a freeze: that is for people, and no group of a JWT issuer holds a "
            "role that may manage_freezes",
        )


def _check_field(policy: Policy, field: Field) -> Iterator[LintFinding]:
    for severity, message in _field_remarks(policy, field):
        yield LintFinding(severity, field.line, f"fields.{field.name}", message)


def _field_remarks(policy: Policy, field: Field) -> Iterator[tuple[Severity, str]]:
    yield from _generator_remarks(field)
    domain = field.effective_domain
    if field.storage is Storage.VAULTLESS and domain < LOW_ENTROPY:
        yield (
            Severity.WARNING,
            f"vaultless with {domain:,} values at the shortest: whoever may tokenize can list "
            "them all in time, and the key cannot be rotated without new tokens; prefer vaulted",
        )
    if _is_codebook(field):
        yield from _oracle_remarks(policy, field)
    if _can_be_filled(field) and _anybody(policy, field, Action.TOKENIZE):
        yield from _filling_remarks(policy, field)
    form: object = field.format
    formula = _FORMULA.intersection(
        form.first_characters if isinstance(form, HasFirstCharacters) else ""
    )
    if formula:
        yield (
            Severity.NOTE,
            f"a token can begin with {listed(formula)}, which "
            "spreadsheets take for a formula: leave that out of the alphabet, or import the "
            "column as text",
        )
    if not _anybody(policy, field, Action.TOKENIZE):
        yield Severity.NOTE, "no role may tokenize it"
    if field.scope is Scope.NONE and _anybody(policy, field, Action.LOOKUP):
        yield Severity.NOTE, "scope none keeps no index, so a lookup finds nothing"


def _oracle_remarks(policy: Policy, field: Field) -> Iterator[tuple[Severity, str]]:
    """Yields what a field of so few values that a caller can try them all needs."""
    oracles = [action for action in _ORACLES if _anybody(policy, field, action)]
    unlimited = [action for action in oracles if not policy.quotas(action, field.name)]
    domain = field.effective_domain
    if unlimited:
        yield (
            Severity.WARNING,
            f"{domain:,} values at the shortest, and no limit on {listed(unlimited)}: whoever "
            "may do that can try them all; add one to 'limits'",
        )
        return
    days = min((_days(policy, field, action) for action in oracles), default=_QUICK)
    if days < _QUICK:
        yield (
            Severity.NOTE,
            f"within its limits, one principal can try all {domain:,} values of the shortest "
            f"length in {max(1, round(days))} days",
        )


def _is_codebook(field: Field) -> bool:
    """Returns whether the values are few, and the answer for a value always the same."""
    # Of random tokens the domain is the number of tokens, which says nothing of the values.
    few = field.generator is not Generator.RANDOM and field.effective_domain < LOW_ENTROPY
    return few and field.scope is not Scope.NONE


def _can_be_filled(field: Field) -> bool:
    """Returns whether one caller can use up all tokens of some values.

    A caller who did can distinguish known values, which keep their tokens, from new ones.
    With scope none a known value gets none either.
    """
    form: object = field.format
    few = field.generator is Generator.RANDOM and field.effective_domain <= _SOON_FILLED
    return few and field.scope is not Scope.NONE and not isinstance(form, UnboundedFormatSpace)


def _filling_remarks(policy: Policy, field: Field) -> Iterator[tuple[Severity, str]]:
    domain = field.effective_domain
    if not policy.quotas(Action.TOKENIZE, field.name):
        yield (
            Severity.WARNING,
            f"the shortest value has {domain:,} tokens, and no limit on tokenize: whoever may do "
            "that can use them up, and then tell a known value, which keeps its token, from a "
            "new one, which gets none; add one to 'limits'",
        )
        return
    days = _days(policy, field, Action.TOKENIZE)
    if days < _QUICK:
        yield (
            Severity.NOTE,
            f"within its limits, one principal can use up all {domain:,} tokens of the shortest "
            f"value in {max(1, round(days))} days, and then tell known values from new ones",
        )


def _days(policy: Policy, field: Field, action: Action) -> float:
    quotas = policy.quotas(action, field.name)
    return max(field.effective_domain * each.seconds / each.values / _DAY for each in quotas)


def _generator_remarks(field: Field) -> Iterator[tuple[Severity, str]]:
    domain = field.effective_domain
    if field.generator is Generator.FF3_1:
        yield (
            Severity.WARNING,
            "ff3-1 is no longer on its way to a standard: NIST's February 2025 draft of "
            "SP 800-38G Rev. 1 removed it and keeps ff1; prefer ff1 where you may choose",
        )
    elif field.generator is Generator.RANDOM and domain < MIN_EFFECTIVE_DOMAIN:
        yield (
            Severity.WARNING,
            f"the shortest value has only {domain:,} tokens, and a token is never issued twice: "
            "such values will end in FORMAT_SPACE_EXHAUSTED",
        )
    form: object = field.format
    if field.generator is Generator.RANDOM and isinstance(form, FiniteFormatSpace):
        size, _ = form.space()
        yield (
            Severity.NOTE,
            f"its values share {size:,} tokens, and none is issued twice: watch the metric "
            "tokenvault_format_space_left_ratio; under 0.44 one new value in a hundred ends in "
            "FORMAT_SPACE_EXHAUSTED",
        )
    if SMALL_DOMAIN in field.acknowledged:
        if field.generator is Generator.FF3_1 and domain < MIN_FF3_1_EFFECTIVE_DOMAIN:
            yield (
                Severity.WARNING,
                f"ff3-1 on {domain:,} tokens, acknowledged by {SMALL_DOMAIN}: published attacks "
                "come close at this size",
            )
        else:
            yield Severity.NOTE, f"{SMALL_DOMAIN} is acknowledged and not needed: remove it"


def _anybody(policy: Policy, field: Field, action: Action) -> bool:
    return any(
        (action, field.name) in rule.allowed()
        for role in policy.roles.values()
        for rule in role.rules
    )


def _check_roles(policy: Policy) -> Iterator[LintFinding]:
    held = {name for binding in policy.bindings for name in binding.roles}
    for role in policy.roles.values():
        path = f"roles.{role.name}"
        if role.name not in held:
            yield LintFinding(Severity.WARNING, role.line, path, "no principal holds this role")
        if any(_reads_everything(rule) for rule in role.rules):
            message = "reads whole values of every field, those added later too"
            yield LintFinding(Severity.WARNING, role.line, path, message)
        for index, rule in enumerate(role.rules):
            yield from _check_conditions(rule, f"{path}[{index}]")
    if not policy.bindings:
        yield LintFinding(
            Severity.WARNING, 1, "principals", "there is none, so every call is denied"
        )


def _check_conditions(rule: Rule, path: str) -> Iterator[LintFinding]:
    ticket = rule.conditions.ticket
    if ticket is not None and ticket.takes_numbers():
        yield LintFinding(
            Severity.WARNING,
            rule.line,
            f"{path}.ticket",
            "takes a bare number as long as an SSN or a card's, which then stands in the audit: "
            "ask for letters too, as in FRAUD-[0-9]+",
        )
    if rule.conditions.on_denied is not OnDenied.ERROR and not rule.conditions.can_deny:
        message = "the rule asks nothing of a call, so it denies none: remove it"
        yield LintFinding(Severity.NOTE, rule.line, f"{path}.on_denied", message)
    if any(network.prefixlen == 0 for network in rule.conditions.networks):
        message = "a range of every address keeps nobody out: leave it out, or narrow it"
        yield LintFinding(Severity.WARNING, rule.line, f"{path}.networks", message)


def _reads_everything(rule: Rule) -> bool:
    reads = rule.every and rule.view == FULL and bool(rule.allow & VIEWED)
    return reads and rule.conditions.approvals is None


def _check_purposes(policy: Policy) -> Iterator[LintFinding]:
    rules = [rule for role in policy.roles.values() for rule in role.rules]
    asked = {name for rule in rules for name in rule.conditions.purposes}
    for name in sorted(policy.purposes.keys() - asked):
        yield LintFinding(Severity.NOTE, 1, f"purposes.{name}", "no rule asks for it")


def _check_binding(policy: Policy, binding: Binding) -> Iterator[LintFinding]:
    rights = policy.rights_with(binding.roles)
    if all(_goes_both_ways(rights, name) for name in policy.fields):
        yield LintFinding(
            Severity.WARNING,
            binding.line,
            f"principals[{policy.bindings.index(binding)}]",
            "turns every field's values into tokens and back in full: a stolen certificate "
            "opens everything; split the two between principals",
        )
    for apart, why in _APART:
        held = {action for action, _ in rights.permissions} & apart
        if len(held) > 1:
            yield LintFinding(
                Severity.WARNING,
                binding.line,
                f"principals[{policy.bindings.index(binding)}]",
                f"holds {listed(held)} together: {why}",
            )
    if not rights.permissions:
        yield LintFinding(
            Severity.NOTE,
            binding.line,
            f"principals[{policy.bindings.index(binding)}]",
            "its roles deny everything that they allow, so every call is denied",
        )


def _goes_both_ways(rights: Rights, name: str) -> bool:
    finds = rights.allows(Action.TOKENIZE, name) or rights.allows(Action.LOOKUP, name)
    return finds and rights.allows(Action.DETOKENIZE, name, FULL)
