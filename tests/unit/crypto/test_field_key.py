"""Field, index and audit keys: separation, binding, and nothing that leaks."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from vault.crypto import (
    FieldKey,
    IndexKey,
    MacKey,
    TweakInput,
    data_key_context,
    key_version_of,
)
from vault.crypto.aead import OVERHEAD
from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.crypto.kdf import Label, sub_key
from vault.crypto.tweak import TWEAK_VERSIONS
from vault.errors import DecryptionFailed, FormatError
from vault.model import Generator

ROOT = bytes(range(50, 82))
OTHER_ROOT = bytes(range(51, 83))
KEY = FieldKey(ROOT, "default", "card_number", 3)
TWEAK = TweakInput("field", "1111", 0)
DIGITS = [4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
NEWEST = {generator: versions[0] for generator, versions in TWEAK_VERSIONS.items()}
FPE = pytest.mark.parametrize("generator", [Generator.FF1, Generator.FF3_1])


def token_of(key: FieldKey, generator: Generator, tweak: TweakInput = TWEAK) -> tuple[int, ...]:
    return tuple(key.encipher(generator, 10, [DIGITS], [tweak], tweak_version=NEWEST[generator])[0])


@FPE
def test_encipher_keeps_order_and_mixes_lengths_and_tweaks(generator: Generator) -> None:
    values = [[i % 10] * (6 + i % 7) for i in range(40)]
    tweaks = [TweakInput("field", str(i % 5), i % 2) for i in range(40)]
    tokens = KEY.encipher(generator, 10, values, tweaks, tweak_version=NEWEST[generator])
    assert [len(token) for token in tokens] == [len(value) for value in values]
    assert KEY.decipher(generator, 10, tokens, tweaks, tweak_version=NEWEST[generator]) == values
    alone = [
        KEY.encipher(generator, 10, [value], [tweak], tweak_version=NEWEST[generator])[0]
        for value, tweak in zip(values, tweaks, strict=True)
    ]
    assert tokens == alone


@FPE
@pytest.mark.parametrize("name", ["digits", "alphanumeric"])
def test_large_batches_are_the_same_values_alone(generator: Generator, name: str) -> None:
    alphabet = NAMED_ALPHABETS[name]
    texts = [alphabet.decode([(i * k) % 10 for k in range(6 + i % 3)]) for i in range(120)]
    tweaks = [TweakInput("field", str(i % 11), 0) for i in range(120)]
    numerals = [alphabet.encode(text) for text in texts]
    tokens = KEY.encipher(
        generator, alphabet.radix, numerals, tweaks, tweak_version=NEWEST[generator]
    )
    alone = [
        KEY.encipher(generator, alphabet.radix, [value], [tweak], tweak_version=NEWEST[generator])[
            0
        ]
        for value, tweak in zip(numerals, tweaks, strict=True)
    ]
    assert tokens == alone
    assert (
        KEY.decipher(generator, alphabet.radix, tokens, tweaks, tweak_version=NEWEST[generator])
        == numerals
    )
    token_texts = KEY.encipher_texts(
        generator, alphabet, texts, tweaks, tweak_version=NEWEST[generator]
    )
    assert token_texts == [alphabet.decode(token) for token in tokens]
    assert (
        KEY.decipher_texts(
            generator, alphabet, token_texts, tweaks, tweak_version=NEWEST[generator]
        )
        == texts
    )
    assert (
        KEY.encipher_texts(
            generator, alphabet, texts[:5], tweaks[:5], tweak_version=NEWEST[generator]
        )
        == token_texts[:5]
    )


@FPE
@pytest.mark.parametrize("rows", [1, 40])
@pytest.mark.parametrize("radix", [10, 1000])
def test_a_digit_outside_is_refused_alone_and_in_a_batch(
    generator: Generator, rows: int, radix: int
) -> None:
    for digit in (-1, radix, 255, 65535, 65536, 2**70):
        values = [*([[1] * 8] * (rows - 1)), [1] * 7 + [digit]]
        if digit < radix:
            values[-1][0] = -1
        with pytest.raises(ValueError, match="outside of the radix"):
            KEY.encipher(generator, radix, values, [TWEAK] * rows, tweak_version=NEWEST[generator])


def test_nothing_to_encipher() -> None:
    assert KEY.encipher(Generator.FF1, 10, [], [], tweak_version=NEWEST[Generator.FF1]) == []
    assert (
        KEY.decipher_texts(
            Generator.FF3_1,
            NAMED_ALPHABETS["digits"],
            [],
            [],
            tweak_version=NEWEST[Generator.FF3_1],
        )
        == []
    )


@FPE
def test_every_input_of_a_tweak_counts(generator: Generator) -> None:
    tokens = [token_of(KEY, generator)]
    tokens += [
        token_of(KEY, generator, tweak)
        for tweak in (
            TweakInput("subject", "1111", 0),
            TweakInput("field", "1112", 0),
            TweakInput("field", "1111", 1),
            TweakInput("field1", "111", 0),
        )
    ]
    tokens += [
        token_of(key, generator)
        for key in (
            FieldKey(OTHER_ROOT, "default", "card_number", 3),
            FieldKey(ROOT, "other", "card_number", 3),
            FieldKey(ROOT, "default", "other", 3),
            FieldKey(ROOT, "default", "card_number", 4),
            FieldKey(ROOT, "defaultc", "ard_number", 3),
        )
    ]
    assert len(set(tokens)) == len(tokens)


def test_ciphers_differ_and_random_is_none() -> None:
    assert token_of(KEY, Generator.FF1) != token_of(KEY, Generator.FF3_1)
    with pytest.raises(ValueError, match="not a cipher"):
        token_of(KEY, Generator.RANDOM)


@FPE
def test_values_and_tweaks_must_be_as_many(generator: Generator) -> None:
    with pytest.raises(ValueError, match="one tweak for each"):
        KEY.encipher(generator, 10, [DIGITS, DIGITS], [TWEAK], tweak_version=NEWEST[generator])


def test_no_sub_key_is_used_twice() -> None:
    keys = [
        bytes(sub_key(root, label, tenant, field, version))
        for root, label, tenant, field, version in product(
            (ROOT, OTHER_ROOT), Label, ("a", "ab"), ("bc", "c"), (1, 2)
        )
    ]
    assert len(set(keys)) == len(keys)
    assert not {ROOT, OTHER_ROOT} & set(keys)


def test_rows_open_in_their_own_place_only() -> None:
    row = KEY.seal(b"4111", scope="field", token="a")
    assert KEY.open(row, scope="field", token="a") == b"4111"
    assert len(row) == OVERHEAD + 4
    elsewhere = [
        (KEY, "field", "b"),
        (KEY, "none", "a"),
        (KEY, "fiel", "da"),
        (FieldKey(ROOT, "default", "ssn", 3), "field", "a"),
        (FieldKey(ROOT, "other", "card_number", 3), "field", "a"),
        (FieldKey(ROOT, "defaultc", "ard_number", 3), "field", "a"),
        (FieldKey(ROOT, "default", "card_number", 2), "field", "a"),
        (FieldKey(OTHER_ROOT, "default", "card_number", 3), "field", "a"),
    ]
    for key, scope, token in elsewhere:
        with pytest.raises(DecryptionFailed) as caught:
            key.open(row, scope=scope, token=token)
        assert caught.value.args == ("decryption failed",)
        assert caught.value.__cause__ is None


def test_adjacent_context_parts_do_not_run_together() -> None:
    row = KEY.seal(b"x", scope="a", token="bc")
    with pytest.raises(DecryptionFailed):
        KEY.open(row, scope="ab", token="c")
    assert data_key_context("a", "bc", "field", 1) != data_key_context("ab", "c", "field", 1)


def test_rows_and_messages_are_apart() -> None:
    message = KEY.encrypt(b"hello", b"context")
    assert KEY.decrypt(message, b"context") == b"hello"
    with pytest.raises(DecryptionFailed):
        KEY.decrypt(message, b"contexT")
    with pytest.raises(DecryptionFailed):
        KEY.open(message, scope="context", token="")


def test_every_flipped_bit_and_every_cut_fails_alike() -> None:
    row = KEY.seal(b"4111", scope="field", token="a")
    spoilt = [
        row[:i] + bytes((row[i] ^ 1 << bit,)) + row[i + 1 :]
        for i in range(len(row))
        for bit in range(8)
    ]
    spoilt += [row[:length] for length in range(len(row))] + [row + b"\0"]
    for ciphertext in spoilt:
        with pytest.raises(DecryptionFailed, match=r"^decryption failed$"):
            KEY.open(ciphertext, scope="field", token="a")


def test_a_header_moved_to_another_version_fails() -> None:
    old = FieldKey(ROOT, "default", "card_number", 2)
    row = KEY.seal(b"4111", scope="field", token="a")
    moved = row[:4] + (2).to_bytes(4, "big") + row[8:]
    assert key_version_of(moved) == 2
    for key in (old, KEY):
        with pytest.raises(DecryptionFailed):
            key.open(moved, scope="field", token="a")


def test_key_version_is_read_from_the_header() -> None:
    assert key_version_of(KEY.encrypt(b"", b"")) == 3
    newest = FieldKey(ROOT, "default", "card_number", 2**32 - 1)
    assert key_version_of(newest.encrypt(b"", b"")) == 2**32 - 1
    for malformed in (b"", b"TKV\x01", bytes(100), b"TKV\x02" + bytes(100)):
        with pytest.raises(DecryptionFailed):
            key_version_of(malformed)


def test_nonces_are_fresh() -> None:
    rows = {KEY.seal(b"same", scope="field", token="a")[8:20] for _ in range(1000)}
    assert len(rows) == 1000


def test_the_index_depends_on_every_input() -> None:
    key = IndexKey(ROOT, "a", "bc", 1)
    macs = [
        key.mac("field", "x"),
        key.mac("field", "y"),
        key.mac("fiel", "dx"),
        IndexKey(ROOT, "ab", "c", 1).mac("field", "x"),
        IndexKey(ROOT, "a", "bc", 2).mac("field", "x"),
        IndexKey(OTHER_ROOT, "a", "bc", 1).mac("field", "x"),
    ]
    assert len(set(macs)) == len(macs)
    assert {len(mac) for mac in macs} == {32}
    assert key.macs("field", ["x", "y"]) == macs[:2]
    assert key.version == 1


def test_audit_macs() -> None:
    key = MacKey(1, ROOT)
    mac = key.mac(b"record")
    assert key.verify(b"record", mac)
    assert not key.verify(b"recorD", mac)
    assert not key.verify(b"record", mac[:-1])
    assert not MacKey(2, ROOT).verify(b"record", mac)
    assert not MacKey(1, OTHER_ROOT).verify(b"record", mac)
    assert key.version == 1


@pytest.mark.parametrize("secret", [b"", bytes(16), bytes(31), bytes(33)])
def test_roots_are_32_bytes(secret: bytes) -> None:
    for make in (
        lambda: FieldKey(secret, "t", "f", 1),
        lambda: IndexKey(secret, "t", "f", 1),
        lambda: MacKey(1, secret),
    ):
        with pytest.raises(ValueError, match="32 bytes"):
            make()


@pytest.mark.parametrize("version", [-1, 2**32])
def test_versions_fit_into_the_header(version: int) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        FieldKey(ROOT, "t", "f", version)


@pytest.mark.parametrize(
    "key", [KEY, IndexKey(ROOT, "t", "f", 7), MacKey(7, ROOT)], ids=["field", "index", "audit"]
)
def test_keys_show_their_version_and_stay_in_the_process(key: object) -> None:
    assert repr(key) in {"<FieldKey version=3>", "<IndexKey version=7>", "<MacKey version=7>"}
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            leave(key)


def test_a_lone_surrogate_is_refused_and_not_quoted() -> None:
    with pytest.raises(FormatError) as caught:
        IndexKey(ROOT, "t", "f", 1).mac("field", "secret\ud800")
    assert "secret" not in repr(caught.value)
    assert caught.value.__context__ is None


@FPE
def test_threads_share_a_key(generator: Generator) -> None:
    key = FieldKey(ROOT, "default", "card_number", 3)
    tweaks = [TweakInput("field", str(i), 0) for i in range(50)]
    expected = [token_of(KEY, generator, tweak) for tweak in tweaks]

    def work(_: int) -> bool:
        row = key.seal(b"4111", scope="field", token="a")
        opens = key.open(row, scope="field", token="a") == b"4111"
        return opens and [token_of(key, generator, tweak) for tweak in tweaks] == expected

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(12)))


def test_a_batch_of_rows_is_each_row_alone() -> None:
    other = FieldKey(ROOT, "default", "card_number", 4)
    tokens = ["a", "", "α" * 40, "7001", "7002", "7003"]
    named = [token.encode() for token in tokens]
    values = [b"4111", b"", b"x" * 300, b"same", b"same", b"same"]
    sealed = KEY.seal_each(values, scope="field", tokens=named)
    assert [
        KEY.open(row, scope="field", token=token) for row, token in zip(sealed, tokens, strict=True)
    ] == values
    alone = [
        KEY.seal(value, scope="field", token=token)
        for value, token in zip(values, tokens, strict=True)
    ]
    assert KEY.open_each(alone, scope="field", tokens=named) == values
    assert len({row[8:20] for row in sealed}) == len(sealed)

    spoilt = [
        *sealed[:2],
        sealed[2][:-1],
        b"",
        sealed[3],
        other.seal(b"", scope="field", token="a"),
    ]
    opened = KEY.open_each(spoilt, scope="field", tokens=named)
    assert opened == [b"4111", b"", None, None, None, None]
    assert KEY.open_each(sealed, scope="none", tokens=named) == [None] * 6
    assert KEY.seal_each([], scope="field", tokens=[]) == []
    with pytest.raises(ValueError, match="zip"):
        KEY.open_each(sealed, scope="field", tokens=named[:-1])


def test_a_lone_surrogate_in_a_batch_is_refused_and_not_quoted() -> None:
    with pytest.raises(FormatError) as caught:
        IndexKey(ROOT, "t", "f", 1).macs("field", ["1", "secret\ud800"])
    assert "secret" not in repr(caught.value)
    assert caught.value.__context__ is None
