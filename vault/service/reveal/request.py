"""What somebody asks to see, and whether it is well formed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import timedelta

from vault.errors import Denied, InvalidRequest, Reason
from vault.model import Action, Justification
from vault.service.admission import FieldPermit
from vault.service.columns import parse_tokens
from vault.service.reveal.grants import name_of_ciphertext
from vault.service.reveal.model import Participant

__all__ = ["RevealRequest", "checked"]

_MAX_REASON = 500
_MAX_TIMES = 100


@dataclass(frozen=True, slots=True)
class RevealRequest:
    """What somebody asks to see, or tokens that they add to it.

    Attributes:
        ciphertexts: to be decrypted, in place of tokens.
        reveal: id of the draft that tokens are added to, or empty for a new one.
        lifetime: of the grant, or None for as long as the policy allows.
        times: how often each token may be shown.
        more: whether it stays a draft, because more tokens follow.
        break_glass: whether it is an emergency, in which nobody approves first.
    """

    field: str
    view: str
    justification: Justification = dataclass_field(repr=False)
    reason: str = dataclass_field(repr=False)
    tokens: Sequence[str] = dataclass_field(repr=False)
    ciphertexts: Sequence[bytes] = dataclass_field(default=(), repr=False)
    reveal: str = ""
    lifetime: timedelta | None = None
    times: int = 1
    more: bool = False
    break_glass: bool = False

    @property
    def action(self) -> Action:
        """What is asked for."""
        return Action.DECRYPT if self.ciphertexts else Action.DETOKENIZE


def checked(permit: FieldPermit, who: Participant, ask: RevealRequest) -> Sequence[str]:
    """Returns the token cores of a request that is well formed. Raises Denied, InvalidRequest."""
    if who.person is None:
        raise Denied(
            "reveals are requested by people: log in, with a token that says who you are",
            reason=Reason.PERSON_REQUIRED,
        )
    if not ask.reveal and not (ask.reason.strip() and ask.reason.isprintable()):
        raise InvalidRequest("say why, in one line: those who approve read it")
    if len(ask.reason) > _MAX_REASON:
        raise InvalidRequest(f"a reason has at most {_MAX_REASON} characters")
    if not 1 <= ask.times <= _MAX_TIMES:
        raise InvalidRequest(f"each token is shown 1 to {_MAX_TIMES} times")
    if ask.lifetime is not None and ask.lifetime < timedelta(seconds=1):
        raise InvalidRequest("the lifetime is shorter than a second")
    if ask.ciphertexts:
        if ask.tokens:
            raise InvalidRequest("a request has tokens or ciphertexts, not both")
        if not all(ask.ciphertexts):
            raise InvalidRequest("a ciphertext is empty: leave empty items out")
        return [name_of_ciphertext(each) for each in ask.ciphertexts]
    column = parse_tokens(ask.tokens, permit.field.format, permit.caller.deadline)
    if column.failures:
        raise InvalidRequest(
            f"item {min(column.failures)} is not of the form of this field's tokens"
        )
    return column.cores
