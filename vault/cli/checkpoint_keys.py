"""The public keys of checkpoints, and certificates of them by the key server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from vault.audit.origin import read_origin
from vault.audit.tlog.note import Note, NoteKey, sign_note
from vault.config import KeysSettings, read_secret
from vault.keys.connection import KeyServerConnection, check_name
from vault.keys.snapshot import KeyId, Purpose, key_id
from vault.keys.stored import open_keys, read_keys
from vault.keys.transit_signer import TransitSigner
from vault.model import DEFAULT_TENANT
from vault.postgres.failures import translate, translated
from vault.service.ports import KeyWrapper
from vault.store.data_keys import PostgresDataKeyStore

__all__ = ["certificate", "checkpoint_vkeys", "transit_signer"]

_STATEMENT = "tokenvault/v1/audit-checkpoint-key"


@translated(translate)
def checkpoint_vkeys(engine: Engine, wrapper: KeyWrapper) -> Sequence[str]:
    """Returns the keys that verify checkpoints of the origin in force, by version.

    Raises StoreUnavailable, KeysUnavailable, and AuditUnavailable as a checkpoint does.
    """
    audit = KeyId(DEFAULT_TENANT, "", Purpose.AUDIT)
    stored = read_keys(PostgresDataKeyStore(engine), DEFAULT_TENANT, set())
    opened = open_keys(wrapper, [record for record in stored if key_id(record) == audit])
    with engine.connect() as connection:
        origin = read_origin(connection)
    keys = [opened.audit_key(DEFAULT_TENANT, record.version) for record in opened.records]
    return [NoteKey(origin, key.signing.public).to_vkey() for key in keys]


def certificate(vkey: str, signer: TransitSigner) -> Note:
    """Returns a note by which the key server's key says that a key is the audit's.

    Raises KeysUnavailable, and ValueError where the key server's signature does not verify.
    """
    note = sign_note(f"{_STATEMENT}\n{vkey}\n", signer.name, signer)
    note.verified([NoteKey(signer.name, signer.public)])
    return note


@contextmanager
def transit_signer(settings: KeysSettings, name: str, token_file: Path) -> Iterator[TransitSigner]:
    """Opens a key of Transit with a login of the operator's own.

    Raises ConfigError, KeysUnavailable.
    """
    check_name("--certify", name)
    connection = KeyServerConnection(
        settings.address, ca=settings.ca, timeout=settings.timeout, namespace=settings.namespace
    )
    try:
        connection.use_token(read_secret(token_file, "--token-file"))
        yield TransitSigner(connection, settings.transit_mount, name)
    finally:
        connection.close()
