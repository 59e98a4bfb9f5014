"""Publishes the log: its tiles, and checkpoints that never contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from vault.audit.checkpoint import CheckpointLog, sign_log
from vault.audit.tlog.note import Note
from vault.audit.tlog.proofs import verify_consistency
from vault.audit.tlog.tree_head import TreeHead
from vault.audit.tree.place import OvertakenError, Place
from vault.audit.tree.stored_tree import StoredTree
from vault.audit.tree.tiling import make_tiles
from vault.audit.tree.witness import Witness, WitnessError
from vault.crypto.field_key import MacKey
from vault.errors import AuditUnavailable, InvalidRequest, Reason

__all__ = ["Publisher"]

_log = structlog.get_logger(__name__)
_MAX_STEP = 1 << 14  # entries of a checkpoint more than the one before


class Publisher:
    """Publishes into a directory or an object store. For one thread.

    Args:
        log: returns the log and its origin. Raises AuditUnavailable, KeysUnavailable, and
            InvalidRequest for an empty one.
        key: returns the active audit key. Raises KeysUnavailable.
        place_of: returns where the log of an origin is published.
        witnesses: asked to cosign each checkpoint; one that does not is asked again.
    """

    def __init__(
        self,
        log: Callable[[], tuple[CheckpointLog, str]],
        tree: StoredTree,
        key: Callable[[], MacKey],
        place_of: Callable[[str], Place],
        witnesses: Sequence[Witness] = (),
    ) -> None:
        self._log = log
        self._tree = tree
        self._key = key
        self._place_of = place_of
        self._witnesses = witnesses
        self._silent: set[str] = set()
        self._overtaken_by: str | None = None

    def publish(self) -> int:
        """Publishes the log as of now, or a part of what is new; returns how much is left.

        Raises AuditUnavailable (INTERNAL where the log does not continue what is published, and
        as a checkpoint does), KeysUnavailable, OSError.
        """
        try:
            _, origin = self._log()
        except InvalidRequest:
            return 0  # nothing was integrated yet
        published = self._place_of(origin)
        try:
            left = self._publish(published)
        except OvertakenError:
            self._note_overtaken(published)
            return 0  # as below
        self._overtaken_by = None
        return left

    def _note_overtaken(self, published: Place) -> None:
        """Raises AuditUnavailable where nobody has published since it was overtaken before.

        A store could refuse every write so, and nobody would hear that nothing is published.
        """
        there = str(published.checkpoint() or "")
        before, self._overtaken_by = self._overtaken_by, there
        if before == there:
            raise AuditUnavailable(
                "writes are refused as if somebody else had published, and nothing new is there"
            )

    def _publish(self, published: Place) -> int:
        with published.locked() as alone:
            if not alone:
                return 0  # another process works
            # Only now: whoever had the directory before may have published a longer one.
            log, origin = self._log()
            before = published.checkpoint()
            old = TreeHead.from_text(before.text) if before is not None else None
            if old is not None:
                self._refuse_contradiction(old, origin, log)
            size = old.size if old is not None else 0
            if log.size > size:
                step = self._part(log, size + _MAX_STEP)
                self._write(published, origin, size, step)
                size = step.size
            self._have_cosigned(published)
        return log.size - size

    def _have_cosigned(self, published: Place) -> None:
        """Adds the signatures of witnesses that have not cosigned the checkpoint yet."""
        checkpoint = published.checkpoint() if self._witnesses else None
        if checkpoint is None:
            return
        head = TreeHead.from_text(checkpoint.text)
        log = CheckpointLog(head.size, head.root)
        for witness in self._witnesses:
            name, key_id = witness.key.name, witness.key.key_id
            if any((each.name, each.key_id) == (name, key_id) for each in checkpoint.signatures):
                continue
            try:
                found = witness.cosign(
                    head.origin, head.size, checkpoint, lambda old: self._tree.growth(log, old)[0]
                )
            except WitnessError as error:
                self._note_silence(name, str(error))
                continue
            except ValueError as error:
                raise AuditUnavailable(
                    f"the log was put back to {head.size} entries: {error}", reason=Reason.INTERNAL
                ) from None
            self._silent.discard(name)
            checkpoint = Note(checkpoint.text, [*checkpoint.signatures, *found])
            published.write({}, checkpoint)

    def _note_silence(self, witness: str, problem: str) -> None:
        if witness not in self._silent:
            self._silent.add(witness)
            _log.warning("checkpoint not cosigned", witness=witness, problem=problem)

    def _refuse_contradiction(self, old: TreeHead, origin: str, log: CheckpointLog) -> None:
        if old.origin != origin or not self._continues(old, log):
            raise AuditUnavailable(
                f"the log does not continue the checkpoint over {old.size} entries that is"
                " published: run `tokenvault audit verify` with it",
                reason=Reason.INTERNAL,
            )

    def _continues(self, old: TreeHead, log: CheckpointLog) -> bool:
        if not 0 < old.size <= log.size:
            return old.size == 0
        proof, _ = self._tree.growth(log, old.size)
        return verify_consistency(old.size, old.root, log.size, log.root, proof)

    def _part(self, log: CheckpointLog, most: int) -> CheckpointLog:
        if log.size <= most:
            return log
        # Read from the database alone, so shown to be what the log begins with.
        _, root = self._tree.growth(log, most)
        return CheckpointLog(most, root)

    def _write(self, published: Place, origin: str, old: int, log: CheckpointLog) -> None:
        try:
            tiles = make_tiles(old, log.size, log.root, self._tree.subtrees)
        except ValueError:
            raise AuditUnavailable(
                "entries of the log are not what its root is of: run `tokenvault audit verify`",
                reason=Reason.INTERNAL,
            ) from None
        published.write(tiles, sign_log(log, origin, self._key()))
