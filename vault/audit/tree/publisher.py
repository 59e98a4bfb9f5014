"""Publishes the log: its tiles, and checkpoints that never contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vault.audit.checkpoint import CheckpointLog, sign_log
from vault.audit.tlog.proofs import verify_consistency
from vault.audit.tlog.tree_head import TreeHead
from vault.audit.tree.published import PublishedLog
from vault.audit.tree.stored_tree import StoredTree
from vault.audit.tree.tiling import make_tiles
from vault.crypto.field_key import MacKey
from vault.errors import AuditUnavailable, InvalidRequest, Reason

__all__ = ["Publisher"]

_MAX_STEP = 1 << 14  # entries of a checkpoint more than the one before


class Publisher:
    """Publishes into a directory. For one thread.

    Args:
        log: returns the log and its origin. Raises AuditUnavailable, KeysUnavailable, and
            InvalidRequest for an empty one.
        key: returns the active audit key. Raises KeysUnavailable.
        directory: of all logs; a restored database begins another one in it.
    """

    def __init__(
        self,
        log: Callable[[], tuple[CheckpointLog, str]],
        tree: StoredTree,
        key: Callable[[], MacKey],
        directory: Path,
    ) -> None:
        self._log = log
        self._tree = tree
        self._key = key
        self._directory = directory

    def publish(self) -> int:
        """Publishes the log as of now, or a part of what is new; returns how much is left.

        Raises AuditUnavailable (INTERNAL where the log does not continue what is published, and
        as a checkpoint does), KeysUnavailable, OSError.
        """
        try:
            _, origin = self._log()
        except InvalidRequest:
            return 0  # nothing was integrated yet
        published = PublishedLog(self._directory, origin)
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
        return log.size - size

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

    def _write(self, published: PublishedLog, origin: str, old: int, log: CheckpointLog) -> None:
        try:
            tiles = make_tiles(old, log.size, log.root, self._tree.subtrees)
        except ValueError:
            raise AuditUnavailable(
                "entries of the log are not what its root is of: run `tokenvault audit verify`",
                reason=Reason.INTERNAL,
            ) from None
        published.write(tiles, sign_log(log, origin, self._key()))
