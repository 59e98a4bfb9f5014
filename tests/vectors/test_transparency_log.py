"""C2SP's published notes, checkpoints and tile paths; proofs of the reference implementation."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.audit.tlog.note import Note, NoteKey, SignatureType, cosigned_message, sign_note
from vault.audit.tlog.proofs import verify_consistency, verify_inclusion
from vault.audit.tlog.tiles import Tile, tiles_between
from vault.audit.tlog.tree_head import TreeHead
from vault.audit.tlog.witnessing import add_checkpoint_body

HERE = Path(__file__).parent
NOTES = json.loads((HERE / "notes.json").read_text(encoding="utf-8"))
PROOFS = json.loads((HERE / "merkle_proofs.json").read_text(encoding="utf-8"))


def hashes(proof: list[str] | None) -> list[bytes]:
    return [b64decode(each) for each in proof or []]


@pytest.mark.parametrize("case", NOTES["signed"], ids=lambda case: case["id"])
def test_a_published_note_verifies(case: dict[str, Any]) -> None:
    keys = [NoteKey.from_vkey(vkey) for vkey in case["vkeys"]]
    assert [key.to_vkey() for key in keys] == case["vkeys"]
    note = Note.parse(case["note"])
    assert str(note) == case["note"]
    assert [key for key, _ in note.verified(keys)] == keys
    assert [key for key, _ in note.verified(keys[:1])] == keys[:1]
    for changed in (note.text.replace("e", "f", 1), f"{note.text}more\n"):
        with pytest.raises(ValueError, match="known key"):
            Note(changed, note.signatures).verified(keys)


def test_a_published_key_signs_the_published_note() -> None:
    name, key_id, typed = NOTES["signer"]["skey"].removeprefix("PRIVATE+KEY+").split("+", 2)
    private = Ed25519PrivateKey.from_private_bytes(b64decode(typed)[1:])

    class Signer:
        public = private.public_key().public_bytes_raw()
        sign = staticmethod(private.sign)

    text, _, lines = NOTES["signed"][1]["note"].rpartition("\n\n")
    note = sign_note(f"{text}\n", name, Signer())
    assert note.signatures[0].key_id.hex() == key_id
    assert str(note) == f"{text}\n\n{lines.splitlines()[0]}\n"


@pytest.mark.parametrize("vkey", NOTES["bad_vkeys"])
def test_a_key_of_another_kind_or_length_is_refused(vkey: str) -> None:
    with pytest.raises(ValueError, match=r"bytes|SignatureType|Base64"):
        NoteKey.from_vkey(vkey)


def test_no_part_of_a_key_and_no_changed_key_is_one() -> None:
    vkey = NOTES["signed"][1]["vkeys"][0]
    parts = {vkey[low:high] for low in range(len(vkey)) for high in range(low + 1, len(vkey) + 1)}
    changed = {vkey[:at] + chr(ord(vkey[at]) + 1) + vkey[at + 1 :] for at in range(len(vkey))}
    for bad in (parts | changed) - {vkey}:
        with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
            NoteKey.from_vkey(bad)


@pytest.mark.parametrize("case", NOTES["texts"], ids=lambda case: case["id"])
def test_a_text_may_have_empty_lines(case: dict[str, Any]) -> None:
    note = Note.parse(case["note"])
    assert (str(note), note.text.count("\n\n")) == (case["note"], 1)


def test_the_published_checkpoint_and_its_cosignature_are_read() -> None:
    case = NOTES["checkpoint"]
    note = Note.parse(case["note"])
    head = TreeHead.from_text(note.text)
    assert head == TreeHead(case["origin"], case["size"], bytes.fromhex(case["root"]))
    assert head.to_text() == note.text
    _, witness = note.signatures
    assert (witness.time, len(witness.signature)) == (case["cosigned_at"], 72)
    assert cosigned_message(note.text, witness.time).decode() == case["cosigned"]


def test_a_cosignatures_key_is_another_than_the_notes() -> None:
    public = NoteKey.from_vkey(NOTES["signed"][0]["vkeys"][0]).public
    one, other = (NoteKey("w", public, each) for each in SignatureType)
    assert one.key_id != other.key_id
    assert NoteKey.from_vkey(other.to_vkey()) == other


def test_the_published_request_to_a_witness_is_made() -> None:
    case = NOTES["witness_request"]
    checkpoint = Note.parse(case["checkpoint"])
    assert add_checkpoint_body(case["old"], hashes(case["proof"]), checkpoint) == case["body"]


def test_the_tiles_of_the_published_tree() -> None:
    found: dict[str, list[int]] = {}
    for tile in tiles_between(0, 70_000):
        full = found.setdefault(str(tile.level), [0, 0])
        full[tile.width < 256] += 1 if tile.width == 256 else tile.width
    assert found == NOTES["tiles_of_70000"]
    assert list(tiles_between(0, 256)) == [Tile(0, 0), Tile(1, 0, 1)]


def test_the_published_index_is_a_path() -> None:
    assert Tile(0, 1_234_067).path == f"tile/0/{NOTES['tile_index_1234067']}"


@pytest.mark.parametrize("case", PROOFS["inclusion"], ids=lambda case: case["id"])
def test_an_inclusion_proof_is_judged_as_by_the_reference(case: dict[str, Any]) -> None:
    leaf, root = b64decode(case["leafHash"] or ""), b64decode(case["root"] or "")
    path = hashes(case["proof"])
    found = verify_inclusion(leaf, case["leafIdx"], case["treeSize"], root, path)
    assert found is not case["wantErr"]


@pytest.mark.parametrize("case", PROOFS["consistency"], ids=lambda case: case["id"])
def test_a_consistency_proof_is_judged_as_by_the_reference(case: dict[str, Any]) -> None:
    old, new = b64decode(case["root1"] or ""), b64decode(case["root2"] or "")
    path = hashes(case["proof"])
    found = verify_consistency(case["size1"], old, case["size2"], new, path)
    assert found is not case["wantErr"]
