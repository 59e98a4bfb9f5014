"""Notes, checkpoints and witnesses' answers that somebody else may have written."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.audit.tlog.note import (
    Note,
    NoteKey,
    NoteSignature,
    SignatureType,
    cosigned_message,
    sign_note,
)
from vault.audit.tlog.proofs import perfect_tree_hash
from vault.audit.tlog.tree_head import TreeHead, read_decimal
from vault.audit.tlog.witnessing import (
    add_checkpoint_body,
    read_cosignatures,
    read_witnessed_size,
)

TEXT = TreeHead("example.com/log", 7, bytes(32)).to_text()


class Signer:
    def __init__(self, seed: int) -> None:
        private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = private.public_key().public_bytes_raw()
        self.sign = private.sign


LOG, WITNESS, STRANGER = Signer(1), Signer(2), Signer(3)
KEY = NoteKey("example.com/log", LOG.public)
WITNESS_KEY = NoteKey("w.example", WITNESS.public, SignatureType.COSIGNATURE)
NOTE = sign_note(TEXT, KEY.name, LOG)


def cosignature(text: str = TEXT, time: int = 1_700_000_000, signed: int | None = None) -> str:
    message = cosigned_message(text, time if signed is None else signed)
    content = time.to_bytes(8) + WITNESS.sign(message)
    return NoteSignature(WITNESS_KEY.name, WITNESS_KEY.key_id, content).to_line()


def test_signatures_of_unknown_keys_are_ignored() -> None:
    other = sign_note(TEXT, "example.com/other", STRANGER)
    both = Note(TEXT, [*other.signatures, *NOTE.signatures])
    assert [key for key, _ in Note.parse(str(both)).verified([KEY])] == [KEY]


def test_one_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    wrong = NoteSignature(KEY.name, KEY.key_id, STRANGER.sign(TEXT.encode()))
    for signatures in ([wrong], [*NOTE.signatures, wrong], [wrong, *NOTE.signatures]):
        with pytest.raises(ValueError, match="wrong"):
            Note(TEXT, signatures).verified([KEY])


@pytest.mark.parametrize("keys", [(), [NoteKey("example.com/other", LOG.public)], [WITNESS_KEY]])
def test_a_note_that_no_known_key_signed_is_refused(keys: list[NoteKey]) -> None:
    with pytest.raises(ValueError, match="no known key"):
        NOTE.verified(keys)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 72])
def test_a_signature_of_another_length_is_wrong(length: int) -> None:
    assert not KEY.verifies(TEXT, bytes(length))
    assert not WITNESS_KEY.verifies(TEXT, bytes(length))


GOOD = str(NOTE)
LINE = GOOD.rpartition("\n\n")[2]


@pytest.mark.parametrize(
    "note",
    [
        "", "\n", "\n\n", TEXT, f"{TEXT}\n", f"\n{LINE}", GOOD[:-1], f"{GOOD}more\n", f"{GOOD}\n",
        GOOD.replace("\n", "\r\n"), f"\t{GOOD}", GOOD.replace("\N{EM DASH}", "-"),
        f"{TEXT}\n{LINE.replace('example.com/log', 'a b')}",
        f"{TEXT}\n{LINE.replace('example.com/log', 'a+b')}",
        f"{TEXT}\n{LINE.replace('example.com/log', '')}",
        f"{TEXT}\n{LINE.replace('example.com/log', 'a' + chr(0x2003) + 'b')}",
        f"{TEXT}\n{LINE.replace('=', '')}", f"{TEXT}\n{LINE[:-1]}=\n", f"{TEXT}\n{LINE * 101}",
        f"{TEXT}\n\N{EM DASH} a AAAAAA==\n", f"{TEXT}\n\N{EM DASH} a AAAAAAB=\n",
        f"{chr(0xD800)}{GOOD}",
    ],
)  # fmt: skip
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        Note.parse(note)


@pytest.mark.parametrize("text", ["", "no newline", "tab\there\n", "\n"])
def test_what_cannot_be_a_note_is_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match="a note"):
        sign_note(text, KEY.name, LOG)


@pytest.mark.parametrize(
    "text",
    [
        "", "Head\n9944\n", f"\n1\n{'A' * 43}=\n", f"Log\n1\n{'A' * 43}=", "Log\n1\nYmFuYW5hcw==\n",
        f"Log\n-34\n{'A' * 43}=\n", f"Log\n01\n{'A' * 43}=\n", f"Log\n1_0\n{'A' * 43}=\n",
        f"Log\n 1\n{'A' * 43}=\n", f"Log\n{2**63}\n{'A' * 43}=\n",
        f"Log\n{'9' * 5000}\n{'A' * 43}=\n",
        f"Log\n\u0661\n{'A' * 43}=\n", f"Log\n1\n{'A' * 42}B=\n", f"Log\n1\n{'A' * 43}=\n\n",
        f"Log\n1\n{'A' * 43}=\nx\n\ny\n", "Log\n1\nThisIsn'tBase64\n",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        TreeHead.from_text(text)


def test_a_number_has_one_spelling() -> None:
    assert [read_decimal(text) for text in ("0", "10", str(2**63 - 1))] == [0, 10, 2**63 - 1]


def test_a_witness_is_believed_for_this_checkpoint_only() -> None:
    keys = [KEY, WITNESS_KEY]
    (found,) = read_cosignatures(cosignature(), NOTE, keys)
    assert found.time == 1_700_000_000
    assert Note.parse(f"{NOTE}{found.to_line()}").verified(keys)
    for wrong in (
        cosignature(TEXT.replace("7", "8")),
        cosignature(signed=1),
        cosignature(time=2**63),
    ):
        with pytest.raises(ValueError, match="wrong"):
            read_cosignatures(wrong, NOTE, keys)


def test_the_logs_own_signature_is_no_witness() -> None:
    for answer in (LINE, NoteSignature("w.example", b"abcd", bytes(72)).to_line()):
        with pytest.raises(ValueError, match="no known key"):
            read_cosignatures(answer, NOTE, [KEY, WITNESS_KEY])


@pytest.mark.parametrize("answer", ["", "\n", "7", "7\n\n", " 7\n", "-7\n", "07\n", "7\n7\n"])
def test_a_size_has_one_spelling(answer: str) -> None:
    with pytest.raises(ValueError, match=r"size|decimal"):
        read_witnessed_size(answer)


def test_a_witness_says_the_size_it_knows() -> None:
    assert read_witnessed_size("20852014\n") == 20_852_014


@pytest.mark.parametrize(("old", "proof"), [(0, [bytes(32)]), (1, [bytes(32)] * 64)])
def test_no_witness_is_sent_what_is_no_proof(old: int, proof: list[bytes]) -> None:
    with pytest.raises(ValueError, match="proof"):
        add_checkpoint_body(old, proof, NOTE)


@pytest.mark.parametrize("hashes", [[], [bytes(32)] * 3])
def test_a_perfect_tree_is_a_power_of_two(hashes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="power of two"):
        perfect_tree_hash(hashes)
