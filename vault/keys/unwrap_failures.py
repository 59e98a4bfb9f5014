"""Wrapped data keys that do not open: which they are, why, and what an operator can do.

After a restore this shows whether the database or the key server is the older one.
Nothing is served and nothing is made while a stored key does not open: a key made in
its place would give known values new tokens, and seem to succeed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from vault.errors import KeysUnavailable
from vault.service.ports import DataKeyRecord

__all__ = ["StoredKeysWrong", "UnwrapFailed", "UnwrapFault", "name_unwrap_failures"]

_SHOWN = 3
# Of a wrapped key only this may be shown: which version of the Transit key wrapped it.
_PREFIX = re.compile(r"vault:(v[1-9][0-9]{0,9}):")


class UnwrapFault(StrEnum):
    """Why a wrapped key does not open; the text is for an operator."""

    TOO_NEW = (
        "the key server does not have the version of the Transit key that wrapped it: it was "
        "restored from before that version was made; restore a later backup of it"
    )
    TOO_OLD = (
        "the Transit key's min_decryption_version is above the version that wrapped it: lower it, "
        "as it was when this database was dumped"
    )
    FOREIGN = (
        "it is of another Transit key (another key server, another name, or one rotated again "
        "after a restore), or its row in data_keys was changed"
    )


class StoredKeysWrong(KeysUnavailable):
    """What is stored of the keys is not what it must be."""

    def lines(self) -> Sequence[str]:
        """Returns a line for each thing that is wrong."""
        return [self.message]


class UnwrapFailed(KeysUnavailable):
    """Some of the wrapped keys do not open.

    Attributes:
        why: by position among the keys that were to be opened.
    """

    def __init__(self, why: Mapping[int, UnwrapFault]) -> None:
        first = next(iter(why.values()))
        super().__init__(f"key server: a wrapped data key does not open: {first.value}")
        self.why = why


def name_unwrap_failures(error: UnwrapFailed, records: Sequence[DataKeyRecord]) -> StoredKeysWrong:
    """Makes the error that names the keys, in the order of ``error.why``."""
    causes = {
        why: [records[at] for at, each in sorted(error.why.items()) if each is why]
        for why in UnwrapFault
    }
    problems = [
        f"{len(found)} of {len(records)} data keys do not open ({_names(found)}): {why.value}"
        for why, found in causes.items()
        if found
    ]
    return StoredKeysWrong(
        f"key server: {'; '.join(problems)}. Nothing is served and no key is made until all open"
    )


def _names(records: Sequence[DataKeyRecord]) -> str:
    names = [_name(record) for record in records[:_SHOWN]]
    return ", ".join([*names, "..."] if len(records) > _SHOWN else names)


def _name(record: DataKeyRecord) -> str:
    wrapped = _PREFIX.match(record.wrapped)
    by = f", wrapped by {wrapped[1]}" if wrapped else ""
    return f"{record.field or record.tenant} {record.purpose} version {record.version}{by}"
