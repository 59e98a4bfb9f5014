"""The record of what decides a used field's tokens.

Changing a used field's format, generator, storage or scope would silently break
equality or restoring, so the first use records them and every later policy must agree.
"""

from __future__ import annotations

from vault.errors import PolicyError
from vault.model import TokenSpace
from vault.policy.model import Field, Policy
from vault.service.ports import ShapeStore, Transaction

__all__ = ["ShapeRecord", "check_shapes"]

_REMEDY = (
    "put the recorded shape back, or give the new shape a field of a new name and move the "
    "values over (detokenize the old field, tokenize into the new one)"
)


class ShapeRecord:
    """Claims a field's shape at first use; remembers what is known to be recorded."""

    def __init__(self) -> None:
        self._known: set[tuple[TokenSpace, str]] = set()

    def claim(self, transaction: Transaction, space: TokenSpace, field: Field) -> None:
        """Records the field's shape in the transaction.

        Raises PolicyError if another is recorded.
        """
        if (space, field.shape) in self._known:
            return
        if transaction.shapes.record(space, field.shape) != field.shape:
            raise PolicyError(_changed(field.name))

    def remember(self, space: TokenSpace, field: Field) -> None:
        """Notes, after the commit, that the record is durable."""
        self._known.add((space, field.shape))


def check_shapes(policy: Policy, shapes: ShapeStore, tenant: str) -> None:
    """Raises PolicyError where a policy changes or drops a used field."""
    faults = []
    for name, shape in shapes.recorded(tenant).items():
        field = policy.fields.get(name)
        if field is None:
            faults.append(
                f"fields.{name}: the field has tokens but is not in the policy; {_REMEDY}"
            )
        elif field.shape != shape:
            faults.append(_changed(name))
    if faults:
        raise PolicyError("\n".join(faults))


def _changed(name: str) -> str:
    return f"fields.{name}: the field has tokens of another shape; {_REMEDY}"
