"""Published known answers of FF1 and FF3-1, one value at a time and in batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from vault.crypto import FF1, FF3_1

HERE = Path(__file__).parent
FILES = {
    "nist_ff1_samples": 9,
    "acvp_ff1": 750,
    "acvp_ff3_1": 450,
    "bouncycastle": 17,
    "others": 218,
}


class Case(NamedTuple):
    id: str
    cipher: type[FF1] | type[FF3_1]
    radix: int
    key: bytes
    tweak: bytes
    plain: list[int]
    enciphered: list[int]


def numerals(vector: dict[str, str], numbers: dict[str, list[int]], which: str) -> list[int]:
    if f"{which}_numerals" in numbers:
        return numbers[f"{which}_numerals"]
    return [vector["alphabet"].index(character) for character in vector[which]]


def cases(name: str) -> list[Case]:
    vectors = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))["vectors"]
    ciphers: dict[str, type[FF1] | type[FF3_1]] = {"FF1": FF1, "FF3-1": FF3_1, "FF3": FF3_1}
    return [
        Case(
            vector["id"],
            ciphers[vector["algo"]],
            vector["radix"],
            bytes.fromhex(vector["key"]),
            bytes.fromhex(vector["tweak"]),
            numerals(vector, vector, "pt"),
            numerals(vector, vector, "ct"),
        )
        for vector in vectors
    ]


@pytest.mark.parametrize("name", FILES)
def test_every_published_answer(name: str) -> None:
    every = cases(name)
    assert len(every) == FILES[name]
    wrong = [
        case.id
        for case in every
        if case.cipher(case.key, case.radix).encrypt(case.plain, case.tweak) != case.enciphered
        or case.cipher(case.key, case.radix).decrypt(case.enciphered, case.tweak) != case.plain
    ]
    assert wrong == []


def halves_of_a_64_bit_tweak(tweak: Sequence[int]) -> tuple[int, int]:
    return int.from_bytes(tweak[:4], "big"), int.from_bytes(tweak[4:], "big")


def test_the_feistel_core_by_the_ff3_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.crypto.fpe.ff3_1.tweak_words", halves_of_a_64_bit_tweak)
    every = cases("nist_ff3_samples")
    assert len(every) == 15
    for case in every:
        cipher = FF3_1(case.key, case.radix)
        assert cipher.encrypt(case.plain, case.tweak) == case.enciphered, case.id
        assert cipher.decrypt(case.enciphered, case.tweak) == case.plain, case.id


@pytest.mark.parametrize("name", FILES)
def test_every_published_answer_in_batch(name: str) -> None:
    wrong = []
    for case in cases(name):
        cipher = case.cipher(case.key, case.radix)
        plain = np.array([case.plain] * 2, np.uint16)
        enciphered = np.array([case.enciphered] * 2, np.uint16)
        forth = cipher.encrypt_batch(plain, case.tweak)
        back = cipher.decrypt_batch(enciphered, [case.tweak] * 2)
        if not ((forth == enciphered).all() and (back == plain).all()):
            wrong.append(case.id)
    assert wrong == []
