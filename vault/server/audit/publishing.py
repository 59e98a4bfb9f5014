"""Publishes the audit's log periodically, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from vault.audit.checkpoint import CheckpointLog
from vault.audit.objects.credentials import read_credentials
from vault.audit.objects.published import PublishedObjects
from vault.audit.objects.store import ObjectStore
from vault.audit.tlog.note import NoteKey, SignatureType
from vault.audit.tree.place import Place
from vault.audit.tree.published import PublishedLog
from vault.audit.tree.publisher import Publisher
from vault.audit.tree.stored_tree import StoredTree
from vault.audit.tree.witness import Witness
from vault.config import AuditSettings, ObjectStoreSettings, WitnessSettings
from vault.crypto.field_key import MacKey
from vault.errors import ConfigError, TokenvaultError, for_operators
from vault.periodic_task import PeriodicTask
from vault.telemetry.logging import frames_of, get_log

__all__ = ["PublishingTask", "publishing_tasks"]

_log = get_log(__name__)
_PATIENCE = 5.0  # seconds: a slow object store, or witness, must not hold up the end
_CREDENTIALS = "audit.object_store.credentials_file"


def publishing_tasks(
    settings: AuditSettings,
    log: Callable[[], tuple[CheckpointLog, str]],
    tree: StoredTree,
    key: Callable[[], MacKey],
    failed: Callable[[], None],
) -> Iterator[PublishingTask]:
    """Yields a task for each place that the audit is published in.

    Raises ConfigError. Other arguments as ``Publisher`` and ``PublishingTask`` have them.
    """
    for place_of in _places(settings):
        # Each has its own: they belong to one thread.
        witnesses = [_witness(each) for each in settings.witnesses]
        publisher = Publisher(log, tree, key, place_of, witnesses)
        interval = settings.publish_interval.total_seconds()
        yield PublishingTask(publisher.publish, interval, failed)


def _places(settings: AuditSettings) -> Iterator[Callable[[str], Place]]:
    if settings.publish is not None:
        yield partial(PublishedLog, settings.publish)
    if settings.object_store is not None:
        yield partial(PublishedObjects, _object_store(settings.object_store))


def _object_store(settings: ObjectStoreSettings) -> ObjectStore:
    credentials = partial(read_credentials, settings.credentials_file, _CREDENTIALS)
    credentials()  # a server that could never publish does not start
    return ObjectStore(settings.url, settings.region, credentials, ca=settings.ca)


def _witness(settings: WitnessSettings) -> Witness:
    try:
        key = NoteKey.from_vkey(settings.public_key)
    except ValueError:
        key = None
    if key is None or key.type is not SignatureType.COSIGNATURE:
        raise ConfigError("audit.witnesses: public_key is no vkey of a witness (type 0x04)")
    return Witness(settings.url, key)


class PublishingTask:
    """A thread that publishes once an interval, until nothing new is left.

    Every worker of every server has one; the directory lets one work at a time.

    Args:
        publish: publishes some; returns how much is left. Raises TokenvaultError, OSError.
        failed: called when a round failed.
    """

    def __init__(
        self, publish: Callable[[], int], interval: float, failed: Callable[[], None]
    ) -> None:
        self._publish = publish
        self._count_failure = failed
        self._problem = ""
        self._task = PeriodicTask(
            "audit-publishing",
            self._publish_all,
            interval,
            failed=lambda error, _: self._failed(error),
            recovered=self._recovered,
        )

    def start(self) -> None:
        """Starts the thread."""
        self._task.start()

    def stop(self) -> None:
        """Ends the thread after what it is writing, or without it where that takes long.

        What is broken off is done again.
        """
        self._task.stop(_PATIENCE)

    def run_once(self) -> None:
        """Publishes what is new. A failure is logged once, until it changes or goes."""
        self._task.run_once()

    def _publish_all(self) -> None:
        while not self._task.stopping and self._publish():
            pass

    def _recovered(self, _: int) -> None:
        self._problem = ""
        _log.info("the audit is published again")

    def _failed(self, error: Exception) -> None:
        self._count_failure()
        problem, frames = type(error).__name__, list[str]()
        if isinstance(error, TokenvaultError):
            problem = for_operators(error)
        elif isinstance(error, OSError):
            problem = f"{problem}: {error.strerror}: {error.filename}"
        else:
            frames = frames_of(error)
        if problem != self._problem:
            self._problem = problem
            _log.error("the audit is not published", problem=problem, frames=frames)
