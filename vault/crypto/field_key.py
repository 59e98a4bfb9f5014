"""Keys as the rest of the service sees them: objects with operations, never readable bytes."""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest

import numpy as np
from numpy.typing import NDArray

from vault.crypto.aead import BoundAead, key_version_of
from vault.crypto.alphabet import Alphabet
from vault.crypto.blind_index import IndexKey
from vault.crypto.encoding import data_key_context, u32, utf8
from vault.crypto.fpe.batch import Integers
from vault.crypto.fpe.derived import DerivedCipher, DerivedFF1, DerivedFF3_1
from vault.crypto.fpe.numerals import by_length, to_array
from vault.crypto.kdf import Label, expand, sub_key
from vault.crypto.prf import Prf
from vault.crypto.row_mac import RowMacKey
from vault.crypto.secret import Secret, check_root
from vault.crypto.signing_key import SigningKey
from vault.crypto.tweak import TweakInput, TweakKey
from vault.model import Generator

__all__ = [
    "FieldKey",
    "IndexKey",
    "MacKey",
    "TweakInput",
    "data_key_context",
    "key_version_of",
]

# Below that many values of one length the reference is quicker than the kernel: measured
# between 20 and 32 for 6 to 56 digits, both ciphers.
_MIN_BATCH = 24


class FieldKey(Secret):
    """One version of one field's key: ciphers, row encryption and message encryption.

    Each use has a sub-key of its own. Threads may share it. Nothing of the key is in
    ``repr``; pickling and copying are refused.
    """

    __slots__ = ("_ciphers", "_messages", "_rows", "_version")

    def __init__(self, root: bytes, tenant: str, field: str, version: int) -> None:
        """Takes a 32-byte root. Raises ValueError."""
        check_root(root)
        context = (tenant, field, version)
        tweaks = TweakKey(root, *context)
        self._version = version
        self._rows = BoundAead(root, Label.ROW, *context)
        self._messages = BoundAead(root, Label.MESSAGE, *context)
        ff3_1_key = sub_key(root, Label.FF3_1, *context)
        self._ciphers: dict[tuple[Generator, int], DerivedCipher] = {
            (Generator.FF1, 1): DerivedFF1(sub_key(root, Label.FF1, *context), tweaks),
            (Generator.FF3_1, 1): DerivedFF3_1(ff3_1_key, tweaks, 1),
            (Generator.FF3_1, 2): DerivedFF3_1(ff3_1_key, tweaks, 2),
        }

    def __repr__(self) -> str:
        return f"<FieldKey version={self._version}>"

    @property
    def version(self) -> int:
        """The key version."""
        return self._version

    def encipher(
        self,
        generator: Generator,
        radix: int,
        numerals: Sequence[Sequence[int]],
        tweaks: Sequence[TweakInput],
        *,
        tweak_version: int,
    ) -> list[list[int]]:
        """Enciphers each value under its tweak by FF1 or FF3-1; lengths may differ.

        Args:
            tweak_version: one of ``TWEAK_VERSIONS``, always the same for one field.

        Raises:
            ValueError: a length, digit or radix outside of the cipher's bounds, or a
                generator that is no cipher. Nothing is returned for any value then.
        """
        cipher = self._cipher_of(generator, tweak_version)
        return _run(cipher, radix, numerals, tweaks, decrypt=False)

    def decipher(
        self,
        generator: Generator,
        radix: int,
        numerals: Sequence[Sequence[int]],
        tweaks: Sequence[TweakInput],
        *,
        tweak_version: int,
    ) -> list[list[int]]:
        """Reverses ``encipher``; the same arguments and errors."""
        cipher = self._cipher_of(generator, tweak_version)
        return _run(cipher, radix, numerals, tweaks, decrypt=True)

    def encipher_texts(
        self,
        generator: Generator,
        alphabet: Alphabet,
        texts: Sequence[str],
        tweaks: Sequence[TweakInput],
        *,
        tweak_version: int,
    ) -> list[str]:
        """Enciphers texts over an alphabet: ``encipher`` without a list of ints per value.

        Raises:
            FormatError: a character outside of the alphabet.
            ValueError: as ``encipher``.
        """
        cipher = self._cipher_of(generator, tweak_version)
        return _run_texts(cipher, alphabet, texts, tweaks, decrypt=False)

    def decipher_texts(
        self,
        generator: Generator,
        alphabet: Alphabet,
        texts: Sequence[str],
        tweaks: Sequence[TweakInput],
        *,
        tweak_version: int,
    ) -> list[str]:
        """Reverses ``encipher_texts``; the same arguments and errors."""
        cipher = self._cipher_of(generator, tweak_version)
        return _run_texts(cipher, alphabet, texts, tweaks, decrypt=True)

    def encipher_rows(
        self,
        generator: Generator,
        radix: int,
        digits: Integers,
        tweaks: Sequence[TweakInput],
        of_row: NDArray[np.int64],
        *,
        tweak_version: int,
    ) -> Integers:
        """Enciphers the rows of an (n, length) array, row ``i`` under ``tweaks[of_row[i]]``.

        The same values as ``encipher`` gives, without an object for any of them.

        Args:
            tweaks: distinct, each with a row; at least one.

        Raises:
            ValueError: as ``encipher``.
        """
        cipher = self._cipher_of(generator, tweak_version)
        return cipher.rows(radix, digits, tweaks, of_row, decrypt=False)

    def decipher_rows(
        self,
        generator: Generator,
        radix: int,
        digits: Integers,
        tweaks: Sequence[TweakInput],
        of_row: NDArray[np.int64],
        *,
        tweak_version: int,
    ) -> Integers:
        """Reverses ``encipher_rows``; the same shapes and errors."""
        cipher = self._cipher_of(generator, tweak_version)
        return cipher.rows(radix, digits, tweaks, of_row, decrypt=True)

    def _cipher_of(self, generator: Generator, tweak_version: int) -> DerivedCipher:
        cipher = self._ciphers.get((generator, tweak_version))
        if cipher is None:
            raise ValueError("the generator is not a cipher, or has no such tweak version")
        return cipher

    def seal(self, plaintext: bytes, *, scope: str, token: str) -> bytes:
        """Encrypts a vault row, bound to its scope and token."""
        return self._rows.seal(plaintext, utf8(scope), utf8(token))

    def open(self, ciphertext: bytes, *, scope: str, token: str) -> bytes:
        """Decrypts a vault row. Raises DecryptionFailed."""
        return self._rows.open(ciphertext, utf8(scope), utf8(token))

    def seal_each(
        self, plaintexts: Sequence[bytes], *, scope: str, tokens: Sequence[bytes]
    ) -> list[bytes]:
        """Encrypts vault rows, as ``seal``; tokens in UTF-8."""
        return self._rows.seal_each(plaintexts, utf8(scope), tokens)

    def open_each(
        self, ciphertexts: Sequence[bytes], *, scope: str, tokens: Sequence[bytes]
    ) -> list[bytes | None]:
        """Decrypts vault rows, as ``open``; None for what does not open."""
        return self._rows.open_each(ciphertexts, utf8(scope), tokens)

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypts a caller's message, bound to the caller's context."""
        return self._messages.seal(plaintext, context)

    def decrypt(self, ciphertext: bytes, context: bytes) -> bytes:
        """Decrypts a caller's message. Raises DecryptionFailed."""
        return self._messages.open(ciphertext, context)


def _run(
    cipher: DerivedCipher,
    radix: int,
    numerals: Sequence[Sequence[int]],
    tweaks: Sequence[TweakInput],
    *,
    decrypt: bool,
) -> list[list[int]]:
    def run(rows: Sequence[Sequence[int]], own: Sequence[TweakInput]) -> list[list[int]]:
        if len(rows) < _MIN_BATCH:
            pairs = zip(rows, own, strict=True)
            return [cipher.one(radix, row, tweak, decrypt=decrypt) for row, tweak in pairs]
        result = cipher.many(radix, to_array(rows, radix), own, decrypt=decrypt)
        rows_out: list[list[int]] = result.tolist()
        return rows_out

    return by_length(numerals, tweaks, run)


def _run_texts(
    cipher: DerivedCipher,
    alphabet: Alphabet,
    texts: Sequence[str],
    tweaks: Sequence[TweakInput],
    *,
    decrypt: bool,
) -> list[str]:
    radix = alphabet.radix

    def run(rows: Sequence[str], own: Sequence[TweakInput]) -> list[str]:
        if len(rows) < _MIN_BATCH:
            pairs = zip(map(alphabet.encode, rows), own, strict=True)
            return [
                alphabet.decode(cipher.one(radix, row, tweak, decrypt=decrypt))
                for row, tweak in pairs
            ]
        digits = alphabet.encode_many(rows)
        return alphabet.decode_many(cipher.many(radix, digits, own, decrypt=decrypt))

    return by_length(texts, tweaks, run)


class MacKey(Secret):
    """One version of a tenant's audit key: HMAC-SHA-256 under a sub-key.

    And, under others, the signatures that outsiders can verify, and the MACs of rows.
    """

    __slots__ = ("_prf", "_rows", "_signing", "_version")

    def __init__(self, version: int, secret: bytes) -> None:
        """Takes a 32-byte secret. Raises ValueError."""
        check_root(secret)
        self._prf = Prf(expand(secret, Label.AUDIT, u32(version)))
        self._rows = RowMacKey(version, secret)
        self._signing = SigningKey(version, secret)
        self._version = version

    def __repr__(self) -> str:
        return f"<MacKey version={self._version}>"

    @property
    def version(self) -> int:
        """The key version."""
        return self._version

    @property
    def signing(self) -> SigningKey:
        """What signs this version's checkpoints and receipts."""
        return self._signing

    @property
    def rows(self) -> RowMacKey:
        """What this version MACs rows that decide under."""
        return self._rows

    def mac(self, message: bytes | memoryview) -> bytes:
        """Returns the 32-byte MAC of a message."""
        return self._prf.digest(message)

    def verify(self, message: bytes, mac: bytes) -> bool:
        """Returns, in constant time, whether ``mac`` is the message's."""
        return compare_digest(self.mac(message), mac)
