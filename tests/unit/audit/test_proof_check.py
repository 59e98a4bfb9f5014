"""Proofs as files: read strictly, and worth what their hashes show under a signed root."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.exported_audits import KEY, ORIGIN, VKEY, ExportedAudit
from vault.audit.export.proof_check import check_consistency, check_inclusion
from vault.audit.export.signed_tree import read_signed_tree
from vault.audit.log import digest_of
from vault.audit.merkle import Tree
from vault.audit.tlog.note import Note, NoteKey
from vault.audit.tlog.proof_files import InclusionProof
from vault.audit.tlog.proofs import consistency_proof, inclusion_proof
from vault.audit.tlog.witnessing import add_checkpoint_body, read_add_checkpoint

AUDIT = ExportedAudit.of(21, older=3)
LINES = AUDIT.lines()


def hash_of(level: int, index: int) -> bytes:
    entries = AUDIT.entries[index << level : index + 1 << level]
    (top,) = Tree(0, ()).grown(entry.leaf for entry in entries).peaks
    return top


def inclusion(position: int, size: int = 21) -> InclusionProof:
    return InclusionProof(
        position - 1,
        inclusion_proof(position - 1, size, hash_of),
        Note.parse(AUDIT.checkpoint(size)),
        LINES[position - 1].to_line().encode(),
    )


def growth(old: int, size: int = 21) -> str:
    checkpoint = Note.parse(AUDIT.checkpoint(size))
    return add_checkpoint_body(old, consistency_proof(old, size, hash_of), checkpoint)


@pytest.mark.parametrize("position", range(1, 22))
def test_every_record_is_proved(position: int) -> None:
    text = inclusion(position).to_text()
    assert InclusionProof.from_text(text).to_text() == text
    tree, line = check_inclusion(text, [VKEY])
    assert (tree.origin, tree.size, line) == (ORIGIN, 21, LINES[position - 1])


@pytest.mark.parametrize("old", range(1, 22))
def test_every_growth_is_proved(old: int) -> None:
    text = growth(old)
    assert add_checkpoint_body(*read_add_checkpoint(text)) == text
    earlier = read_signed_tree(AUDIT.checkpoint(old), [VKEY])
    assert check_consistency(text, [VKEY], earlier).size == 21


def test_a_changed_record_is_not_proved() -> None:
    proof, line = inclusion(9), LINES[8]
    assert line.entry is not None
    body = line.body.replace("allowed", "denied")
    digest = replace(line.entry, body_digest=digest_of(body))
    changes = {
        "position 9 was edited": replace(line, body=body),
        "another record at position 9": replace(line, body=body, entry=digest),
        "another record at position": replace(
            line, body=body, entry=replace(digest, leaf=digest.leaf_at(9))
        ),
        "not the one that it proves": LINES[9],
        "it is no proof": None,
    }
    for told, changed in changes.items():
        extra = changed.to_line().encode() if changed is not None else b"{}"
        with pytest.raises(ValueError, match=told):
            check_inclusion(replace(proof, extra=extra).to_text(), [VKEY])


def test_a_record_of_version_1_cannot_say_that_it_is_another() -> None:
    line = LINES[1]
    body = line.body.replace('"number":2', '"number":3')
    with pytest.raises(ValueError, match="position 2 was edited"):
        forged = replace(inclusion(2), extra=replace(line, body=body).to_line().encode())
        check_inclusion(forged.to_text(), [VKEY])


def test_other_hashes_prove_nothing() -> None:
    proof = inclusion(9)
    for hashes in (proof.hashes[1:], [*proof.hashes, bytes(32)], [bytes(32), *proof.hashes[1:]]):
        with pytest.raises(ValueError, match="another record"):
            check_inclusion(replace(proof, hashes=hashes).to_text(), [VKEY])
    earlier = read_signed_tree(AUDIT.checkpoint(9), [VKEY])
    other = read_signed_tree(ExportedAudit.of(9).checkpoint(9), [VKEY])
    with pytest.raises(ValueError, match="does not continue"):
        check_consistency(growth(9), [VKEY], other)
    with pytest.raises(ValueError, match="begins at 8 entries; the checkpoint given has 9"):
        check_consistency(growth(8), [VKEY], earlier)


def test_another_key_or_log_proves_nothing() -> None:
    other = NoteKey("tokenvault/other", KEY.signing.public)
    with pytest.raises(ValueError, match="another log"):
        check_inclusion(inclusion(9).to_text(), [other])
    earlier = read_signed_tree(AUDIT.checkpoint(9, KEY, "tokenvault/other"), [other])
    with pytest.raises(ValueError, match="another log than the checkpoint given"):
        check_consistency(growth(9), [VKEY], earlier)


def test_files_that_are_no_proofs_are_refused() -> None:
    text, grown = inclusion(9).to_text(), growth(9)
    broken = (
        "",
        text.replace("@v1", "@v2"),
        text.replace("index 8", "index 08"),
        text.replace("index 8\n", ""),
        text.replace("\n\n", "\n"),
        text.replace("extra ", "extra  "),
        text.replace("=\n", "\n"),
        grown,
    )
    for wrong in broken:
        assert wrong != text
        with pytest.raises(ValueError, match=r"."):
            check_inclusion(wrong, [VKEY])
    earlier = read_signed_tree(AUDIT.checkpoint(9), [VKEY])
    for wrong in ("", text, grown.replace("old 9", "old 09"), grown.replace("old ", "")):
        with pytest.raises(ValueError, match="no proof of a log's growth"):
            check_consistency(wrong, [VKEY], earlier)
