"""Checkpoints as signed notes: what outsiders can verify, and what is no checkpoint of ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.audit.checkpoint import Checkpoint, CheckpointHead, CheckpointLog
from vault.audit.checkpoint_reading import read_checkpoint
from vault.audit.merkle import EMPTY
from vault.audit.origin import Epoch
from vault.audit.tlog.note import Note, NoteKey, NoteSignature, sign_note
from vault.audit.tlog.tree_head import TreeHead
from vault.crypto.field_key import MacKey
from vault.errors import ConfigError, DecryptionFailed, KeysUnavailable

KEYS = {version: MacKey(version, bytes([version]) * 32) for version in (1, 2)}
FIRST, SECOND = UUID(int=1), UUID(int=2)
MADE = Checkpoint(
    datetime(2026, 11, 28, 1, 2, 3, 4, tzinfo=UTC),
    (CheckpointHead(FIRST, 3, b"m" * 32), CheckpointHead(SECOND, 2**63 - 1, b"n" * 32)),
    CheckpointLog(7, b"r" * 32),
    "tokenvault/00ff",
)
SIGNED = MADE.sign(KEYS[2])


def key_of(version: int) -> MacKey:
    if version not in KEYS:
        raise DecryptionFailed
    return KEYS[version]


def read(text: str) -> Checkpoint:
    found = read_checkpoint(text, key_of)
    return replace(found, heads=tuple(found.heads))


def resigned(text: str, version: int = 2, name: str = MADE.origin) -> str:
    """A note that a server has signed and whose text no server would have written."""
    return str(sign_note(text, name, KEYS[version].signing))


@pytest.mark.parametrize(
    "made",
    [MADE, replace(MADE, log=None), replace(MADE, heads=()), replace(MADE, heads=(), log=None)],
)
@pytest.mark.parametrize("key", KEYS.values(), ids=repr)
def test_a_checkpoint_reads_back(made: Checkpoint, key: MacKey) -> None:
    assert read(made.sign(key)) == made


def test_the_public_key_alone_verifies_it() -> None:
    note = Note.parse(SIGNED)
    vkey = NoteKey(MADE.origin, KEYS[2].signing.public).to_vkey()
    ((key, _),) = note.verified([NoteKey.from_vkey(vkey)])
    head = TreeHead.from_text(note.text)
    assert (key.name, head.origin, head.size, head.root) == (MADE.origin, MADE.origin, 7, b"r" * 32)


def test_an_empty_log_has_the_root_of_the_empty_tree() -> None:
    head = TreeHead.from_text(Note.parse(replace(MADE, log=None).sign(KEYS[1])).text)
    assert (head.size, head.root) == (0, EMPTY.root())


def test_cosignatures_of_witnesses_change_nothing() -> None:
    witness = NoteSignature("w.example", b"abcd", bytes(72)).to_line()
    assert read(f"{SIGNED}{witness}") == MADE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n7\n", "\n8\n"), ("key 2", "key 1"), ("key 2", "key 3"), ("key 2", "key 0"),
        ("00:", "01:"), (" 3 ", " 4 "), (f"head {FIRST}", f"head {SECOND}"), ("ff\n", "fe\n"),
        ("head ", "tail "), ("\n\n", "\nmore\n\n"), ("6d6d", "6d6e"), ("\n", "\r\n"),
    ],
)  # fmt: skip
def test_a_changed_checkpoint_is_refused(old: str, new: str) -> None:
    text = SIGNED.replace("01:02:03", "00:02:03") if old == "00:" else SIGNED
    assert old in text
    with pytest.raises(ConfigError, match="not a checkpoint of this audit"):
        read(text.replace(old, new))


TEXT = Note.parse(SIGNED).text


@pytest.mark.parametrize(
    "text",
    [
        resigned(TEXT, version=1), resigned(TEXT, name="tokenvault/other"),
        resigned(TreeHead(MADE.origin, 7, b"r" * 32).to_text()),
        resigned(TreeHead(MADE.origin, 7, b"r" * 32, ["key 2"]).to_text()),
        resigned(TEXT.replace("key 2", "key 02")), resigned(TEXT.replace("key 2", "key 2 3")),
        resigned(TEXT.replace("key 2", f"key {10**30}")), resigned(TEXT.replace("key 2\n", "")),
        resigned(TEXT.replace("+00:00", "")), resigned(TEXT.replace("time ", "time of ")),
        resigned(TEXT.replace(f"head {FIRST} 3", f"head {FIRST} 0")),
        resigned(TEXT.replace(f"head {FIRST} 3", f"head {FIRST} +3")),
        resigned(TEXT.replace(f"head {FIRST} 3", f"head {FIRST}")),
        resigned(TEXT.replace(str(FIRST), "x")), resigned(TEXT.replace("6d6d", "zz")),
        resigned(f"{TEXT}head\n"), resigned(f"{TEXT}a line of tomorrow\n"),
        resigned(TEXT.replace("\n7\n", "\n0\n")),
    ],
)  # fmt: skip
def test_a_text_that_no_server_writes_is_refused_though_signed(text: str) -> None:
    with pytest.raises(ConfigError, match="not a checkpoint of this audit"):
        read(text)


def test_a_key_that_is_away_is_no_forgery() -> None:
    def away(_: int) -> MacKey:
        raise KeysUnavailable("away")

    with pytest.raises(KeysUnavailable):
        read_checkpoint(SIGNED, away)


@given(at=st.integers(0, len(SIGNED) - 1), character=st.characters())
def test_no_changed_character_is_another_checkpoint(at: int, character: str) -> None:
    changed = SIGNED[:at] + character + SIGNED[at + 1 :]
    try:
        assert read(changed) == MADE
    except ConfigError:
        assert changed != SIGNED


def test_no_two_histories_have_one_origin() -> None:
    epochs = [
        Epoch(number, identity, since)
        for number in (1, 2)
        for identity in ("", "1:2:3", "1:2:4")
        for since in (5, 6)
    ]
    origins = {epoch.origin(tenant) for epoch in epochs for tenant in ("default", "other")}
    assert len(origins) == 2 * len(epochs)
    assert all(NoteKey(origin, bytes(32)) for origin in origins)
