"""A witness that cosigns our checkpoints (C2SP tlog-witness), over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus

from vault.audit.tlog.note import Note, NoteKey, NoteSignature
from vault.audit.tlog.witnessing import (
    add_checkpoint_body,
    read_cosignatures,
    read_witnessed_size,
)
from vault.bounded_http import bounded_request

__all__ = ["Witness", "WitnessError"]

_MAX_ANSWER = 64 << 10
_ATTEMPTS = 3  # the witness says what it has, which another server may change meanwhile


class WitnessError(Exception):
    """A witness did not cosign. The message quotes nothing of its answer."""


class Witness:
    """One witness. For one thread.

    Args:
        url: what ``/add-checkpoint`` comes after.
        key: what it cosigns with.
        timeout: seconds for the connection, each read, and an answer altogether.
    """

    def __init__(self, url: str, key: NoteKey, timeout: float = 5.0) -> None:
        self.key = key
        self._url = f"{url.rstrip('/')}/add-checkpoint"
        self._timeout = timeout
        self._known: dict[str, int] = {}  # by origin: the size that it has, as far as we know

    def cosign(
        self,
        origin: str,
        size: int,
        checkpoint: Note,
        proof_from: Callable[[int], Sequence[bytes]],
    ) -> Sequence[NoteSignature]:
        """Has a checkpoint cosigned.

        Args:
            proof_from: returns what shows that the log continues its first so many entries.

        Raises WitnessError, and ValueError where the witness knows a longer log than this.
        """
        status = 0
        for _ in range(_ATTEMPTS):
            old = self._known.get(origin, 0)
            proof = proof_from(old) if 0 < old < size else ()
            status, answer = self._ask(add_checkpoint_body(old, proof, checkpoint))
            try:
                if status == HTTPStatus.OK:
                    found = read_cosignatures(answer, checkpoint, [self.key])
                    self._known[origin] = size
                    return found
                if status != HTTPStatus.CONFLICT:
                    break
                self._known[origin] = read_witnessed_size(answer)
            except ValueError:
                raise WitnessError("answered what no witness answers") from None
            if self._known[origin] > size:
                raise ValueError(f"the witness {self.key.name} knows {self._known[origin]} entries")
        raise WitnessError(f"answered {status}")

    def _ask(self, body: str) -> tuple[int, str]:
        data = body.encode()
        try:
            with bounded_request("POST", self._url, timeout=self._timeout, data=data) as response:
                status, content = response.status, response.read(_MAX_ANSWER)
        except OSError as error:
            raise WitnessError(type(error).__name__) from None
        except ValueError as error:
            raise WitnessError(str(error)) from None
        if len(content) > _MAX_ANSWER:
            raise WitnessError("answered too much")
        return status, content.decode("utf-8", "replace")
