"""What a witness is asked, and what of its answers is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.exported_audits import KEY, ORIGIN, VKEY, ExportedAudit
from tests.small_witness import SmallWitness
from vault.audit.checkpoint import CheckpointLog, sign_log
from vault.audit.merkle import EMPTY
from vault.audit.tlog.note import Note, NoteSignature
from vault.audit.tlog.proofs import consistency_proof
from vault.audit.tree.witness import Witness, WitnessError

AUDIT = ExportedAudit.of(20)


def checkpoint(size: int) -> Note:
    return sign_log(CheckpointLog(size, AUDIT.tree(size).root()), ORIGIN, KEY)


def hash_of(level: int, index: int) -> bytes:
    entries = AUDIT.entries[index << level : index + 1 << level]
    return EMPTY.grown(entry.leaf for entry in entries).root()


def ask(witness: Witness, size: int) -> Sequence[NoteSignature]:
    note = checkpoint(size)
    return witness.cosign(ORIGIN, size, note, lambda old: consistency_proof(old, size, hash_of))


@pytest.fixture
def small() -> SmallWitness:
    return SmallWitness("witness.example", VKEY)


@pytest.fixture
def address(small: SmallWitness) -> Iterator[str]:
    with small.serving() as address:
        yield address


def test_a_witness_cosigns_a_log_that_grows(small: SmallWitness, address: str) -> None:
    witness = Witness(f"{address}/", small.key)
    for size in (3, 3, 9, 20):
        (signature,) = ask(witness, size)
        assert small.key.verifies(checkpoint(size).text, signature.signature)
    assert small.asked == [0, 3, 3, 9]


def test_one_that_was_restarted_asks_what_the_witness_knows(
    small: SmallWitness, address: str
) -> None:
    ask(Witness(address, small.key), 9)
    assert ask(Witness(address, small.key), 20)
    assert small.asked == [0, 0, 9]


def test_a_witness_that_knows_a_longer_log_is_an_alarm(small: SmallWitness, address: str) -> None:
    ask(Witness(address, small.key), 9)
    with pytest.raises(ValueError, match="knows 9 entries"):
        ask(Witness(address, small.key), 5)


@pytest.mark.parametrize(
    "answer",
    [
        (404, ""),
        (403, ""),
        (422, ""),
        (500, "4111111111111111"),
        (302, ""),
        (200, ""),
        (200, "4111111111111111"),
        (200, str(checkpoint(3)).rpartition("\n\n")[2]),
        (200, "x" * 100_000),
        (409, "x\n"),
        (409, "-1\n"),
        (409, "2\n"),
    ],
)
def test_other_answers_are_no_cosignature(
    small: SmallWitness, address: str, answer: tuple[int, str]
) -> None:
    small.answer = answer
    with pytest.raises(WitnessError) as caught:
        ask(Witness(address, small.key), 3)
    assert "4111" not in str(caught.value)
    assert len(small.asked) <= 3


def test_the_cosignature_of_another_key_or_text_is_none(small: SmallWitness, address: str) -> None:
    other = SmallWitness("witness.example", VKEY)
    with pytest.raises(WitnessError):
        ask(Witness(address, other.key), 3)
    small.answer = 200, small._cosigned(checkpoint(4))
    with pytest.raises(WitnessError):
        ask(Witness(address, small.key), 3)


def test_a_witness_that_is_gone_is_silent(small: SmallWitness) -> None:
    with small.serving() as address:
        pass
    with pytest.raises(WitnessError, match="ConnectionError"):
        ask(Witness(address, small.key), 3)
