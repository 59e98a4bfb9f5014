"""Values per second of FF3-1 and FF1 on one core, beside other libraries and raw AES.

The table is printed; what is asserted is far below what is usual, so that only a real
loss of speed fails on a busy machine.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter

import fastfpe
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from ff3 import FF3Cipher

from vault.crypto import FF1, FF3_1, Alphabet, FieldKey, TweakInput
from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.crypto.tweak import TWEAK_VERSIONS
from vault.model import Generator

pytestmark = pytest.mark.bench

BATCH = 10_000
SAMPLE = 500
KEY, TWEAK = bytes(range(32)), bytes(range(7))
SHAPES = [("digits", 9), ("digits", 16), ("digits", 19), ("digits", 28), ("digits", 56)]
SHAPES.append(("alphanumeric", 20))
PEERS = ("fastfpe FF3-1", "fastfpe FF1", "ff3", "AES-ECB x8", "AES serial x8")
COLUMNS = ("FF3-1", "FF1", *PEERS, "FF3-1 us", "FF1 us")


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)


def rate(run: Callable[[], object], values: int, seconds: float = 0.35) -> float:
    """Values per second: the best of as many runs as fit into the time, after a warm one."""
    run()
    best, end = float("inf"), perf_counter() + seconds
    while perf_counter() < end:
        start = perf_counter()
        run()
        best = min(best, perf_counter() - start)
    return values / best


def texts_of(alphabet: Alphabet, length: int, count: int) -> list[str]:
    rng = np.random.default_rng(1)
    return alphabet.decode_many(rng.integers(0, alphabet.radix, (count, length)))


def one_by_one(run: Callable[[str], object], texts: Sequence[str]) -> Callable[[], object]:
    return lambda: [run(text) for text in texts]


def raw_aes(context: CipherContext) -> Callable[[], object]:
    """Eight AES-256 blocks a value, in one call: the work of FF3-1 without the rest.

    ECB's blocks are independent and overlap in the processor; each of CBC's needs the one
    before, as a value's rounds do. Into a buffer that is there already: a fresh one of this
    size costs hundreds of page faults a call, several times the AES itself.
    """
    data = bytes(BATCH * 8 * 16)
    output = bytearray(len(data) + 16)
    return lambda: context.update_into(data, output)


def measure(name: str, length: int) -> dict[str, float]:
    alphabet = NAMED_ALPHABETS[name]
    digits = alphabet.encode_many(texts_of(alphabet, length, BATCH))
    few = texts_of(alphabet, length, SAMPLE)
    characters, key, tweak = alphabet.characters, KEY.hex(), TWEAK.hex()
    single = digits[0].tolist()
    found: dict[str, float] = {}
    ciphers: list[tuple[str, FF1 | FF3_1, Callable[[str, str, str, str], str]]] = [
        ("FF3-1", FF3_1(KEY, alphabet.radix), fastfpe.ff3_1.encrypt),
        ("FF1", FF1(KEY, alphabet.radix), fastfpe.ff1.encrypt),
    ]
    for label, cipher, peer in ciphers:
        found[label] = rate(partial(cipher.encrypt_batch, digits, TWEAK), BATCH)
        found[f"{label} us"] = 1e6 / rate(partial(cipher.encrypt, single, TWEAK), 1)
        alone = one_by_one(partial(peer, key, tweak, characters), few)
        found[f"fastfpe {label}"] = rate(alone, SAMPLE)
    other = FF3Cipher.withCustomAlphabet(key, tweak, characters)
    found["ff3"] = rate(one_by_one(other.encrypt, few), SAMPLE)
    ecb = Cipher(AES(KEY), ECB()).encryptor()  # noqa: S305 - bare block function
    cbc = Cipher(AES(KEY), CBC(bytes(16))).encryptor()
    found["AES-ECB x8"] = rate(raw_aes(ecb), BATCH)
    found["AES serial x8"] = rate(raw_aes(cbc), BATCH)
    return found


def test_plain_ciphers(capsys: pytest.CaptureFixture[str]) -> None:
    results = {shape: measure(*shape) for shape in SHAPES}
    with capsys.disabled():
        print(f"\n\nvalues/s, batch of {BATCH:,}, one core; last two: one value by the reference")
        print(f"{'':>16}" + "".join(f"{column:>15}" for column in COLUMNS))
        for (name, length), found in results.items():
            cells = [
                f"{found[column]:15.1f}" if column.endswith("us") else f"{found[column]:15,.0f}"
                for column in COLUMNS
            ]
            print(f"{length:>3} {name:<12}" + "".join(cells))
        card = results["digits", 16]
        print(f"16 digits: {card['FF3-1'] / card['fastfpe FF3-1']:.0f} x fastfpe,", end=" ")
        print(f"{card['FF3-1'] / card['ff3']:.0f} x ff3,", end=" ")
        print(f"{card['FF3-1'] / card['AES serial x8']:.2f} of serial AES-256,", end=" ")
        print(f"{card['FF3-1'] / card['AES-ECB x8']:.2f} of ECB at its best")
    card = results["digits", 16]
    assert card["FF3-1"] > 5 * card["fastfpe FF3-1"]
    assert card["FF1"] > 5 * card["fastfpe FF1"]


def test_field_keys_with_kept_last_four(capsys: pytest.CaptureFixture[str]) -> None:
    digits = NAMED_ALPHABETS["digits"]
    cards = texts_of(digits, 16, BATCH)
    texts = [card[:12] for card in cards]
    varying = [TweakInput("field", card[12:], 0) for card in cards]
    lines = []
    ciphers = [
        (each, version)
        for each in (Generator.FF1, Generator.FF3_1)
        for version in TWEAK_VERSIONS[each]
    ]
    for generator, version in ciphers:
        for label, tweaks in (("one tweak", varying[:1] * BATCH), ("last four kept", varying)):
            fresh = FieldKey(KEY, "default", "card_number", 1)
            gc.collect()
            gc.freeze()  # a server has no 5,000 collected tests to search through
            start = perf_counter()
            fresh.encipher_texts(generator, digits, texts, tweaks, tweak_version=version)
            cold = BATCH / (perf_counter() - start)

            def run(
                key: FieldKey = fresh,
                generator: Generator = generator,
                version: int = version,
                tweaks: list[TweakInput] = tweaks,
            ) -> list[str]:
                return key.encipher_texts(generator, digits, texts, tweaks, tweak_version=version)

            warm = rate(run, BATCH)
            lines.append(
                f"{generator:>6} v{version} {label:<15} warm {warm:12,.0f}   cold {cold:12,.0f}"
            )
            assert warm > 100_000
    with capsys.disabled():
        print(f"\n\n16-digit cards as strings, {len(set(varying)):,} last fours in a batch")
        print("\n".join(lines))
