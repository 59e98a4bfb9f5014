"""From the policy file's text to a ``Policy``, or to everything that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

from vault.policy.model import Policy
from vault.policy.problem import InvalidPolicy, Problem
from vault.policy.reading.approval_entries import check_approvers
from vault.policy.reading.document import read_document
from vault.policy.reading.entry import Entry
from vault.policy.reading.field_entry import read_fields
from vault.policy.reading.freeze_entry import read_freezes
from vault.policy.reading.limit_entry import read_limits
from vault.policy.reading.principal_entry import read_principals
from vault.policy.reading.purpose_entry import read_purposes
from vault.policy.reading.reserved_names import Place, reserved_names
from vault.policy.reading.role_entry import read_roles
from vault.policy.roles import Role

__all__ = ["InvalidPolicy", "Problem", "parse_policy"]

VERSION = 1

_KEYS = frozenset({"version", "fields", "limits", "purposes", "roles", "principals", "freezes"})


def parse_policy(text: str, source: str) -> Policy:
    """Reads a policy.

    Args:
        text: the file, decoded as UTF-8 with its line ends as they are: the digest is
            that of the file's bytes.
        source: what to call the file in messages, such as its path.

    Raises:
        InvalidPolicy: a PolicyError with every problem found, each with line, column and
            key path.
    """
    problems: list[Problem] = []
    root = read_document(text, source, problems)
    entries = root.section(
        _KEYS, required=("version", "fields"), reserved=reserved_names(Place.FILE)
    )
    if "version" in entries and not _is_readable(entries["version"]):
        # Another version's keys mean other things: judging them would only mislead.
        raise InvalidPolicy(source, problems)
    fields = read_fields(entries["fields"]) if "fields" in entries else {}
    limits = read_limits(entries["limits"], fields) if "limits" in entries else ()
    described = read_purposes(entries["purposes"]) if "purposes" in entries else None
    roles = read_roles(entries["roles"], fields, described) if "roles" in entries else {}
    bindings = read_principals(entries["principals"], roles) if "principals" in entries else ()
    freezes = read_freezes(entries["freezes"], roles) if "freezes" in entries else ()
    if not problems and "roles" in entries:
        check_approvers(entries["roles"], roles, bindings)
    if problems:
        raise InvalidPolicy(source, problems)
    return Policy(
        source=source,
        digest=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        document=text,
        fields=MappingProxyType({n: field for n, field in fields.items() if field is not None}),
        roles=MappingProxyType(roles),
        bindings=bindings,
        limits=limits,
        freezes=freezes,
        purposes=MappingProxyType(_named_purposes(roles) if described is None else described),
    )


def _named_purposes(roles: Mapping[str, Role]) -> dict[str, str]:
    rules = (rule for role in roles.values() for rule in role.rules)
    return dict.fromkeys(sorted({name for rule in rules for name in rule.conditions.purposes}), "")


def _is_readable(entry: Entry) -> bool:
    before = entry.problems
    version = entry.integer(0, 10**9)
    if version is not None and version != VERSION:
        entry.fail(f"this release reads version {VERSION}")
    return entry.problems == before
