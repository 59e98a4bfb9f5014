"""What prunes the audit, with the keys of the settings; imported only where the server is."""

from __future__ import annotations

from sqlalchemy import Engine

from vault.audit.export.signed_tree import SignedTree, read_signed_tree
from vault.audit.pruning.prune import AuditPruner
from vault.audit.tlog.note import Note, NoteKey
from vault.audit.tlog.tree_head import TreeHead
from vault.config import KeysSettings
from vault.errors import ConfigError
from vault.keys.hashicorp import HashicorpKeyWrapper
from vault.keys.snapshot import KeyId, Purpose, key_id
from vault.keys.stored import OpenedKeys, open_keys, read_keys
from vault.model import DEFAULT_TENANT
from vault.postgres.failures import translate, translated
from vault.store.data_keys import PostgresDataKeyStore

__all__ = ["open_pruner"]


@translated(translate)
def open_pruner(
    settings: KeysSettings, service: Engine, owner: Engine, checkpoint: str
) -> tuple[AuditPruner, SignedTree]:
    """Returns what prunes, and the log that a checkpoint of this audit is of.

    Raises ConfigError, StoreUnavailable, KeysUnavailable.
    """
    audit = KeyId(DEFAULT_TENANT, "", Purpose.AUDIT)
    wrapper = HashicorpKeyWrapper(settings)
    try:
        stored = read_keys(PostgresDataKeyStore(service), DEFAULT_TENANT, set())
        opened = open_keys(wrapper, [record for record in stored if key_id(record) == audit])
    finally:
        wrapper.close()
    active = next((record.version for record in opened.records if record.active), None)
    if active is None:
        raise ConfigError("there is no audit key yet: no server has run on this database")
    key = opened.audit_key(DEFAULT_TENANT, active)
    pruner = AuditPruner(service, owner, key, opened.audit_key_of(DEFAULT_TENANT))
    return pruner, _signed(checkpoint, opened)


def _signed(checkpoint: str, opened: OpenedKeys) -> SignedTree:
    """Reads a checkpoint of any origin: after a restore those of before still cover the log."""
    versions = [record.version for record in opened.records]
    public = [opened.audit_key(DEFAULT_TENANT, version).signing.public for version in versions]
    try:
        origin = TreeHead.from_text(Note.parse(checkpoint).text).origin
        return read_signed_tree(checkpoint, [NoteKey(origin, each) for each in public])
    except ValueError:
        pass
    raise ConfigError("--checkpoint: the file is not a checkpoint of this audit, or was changed")
