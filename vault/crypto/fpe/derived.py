"""FF1 and FF3-1 with keys and tweaks derived from a field key, one value or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vault.crypto.encoding import u32
from vault.crypto.fpe.batch import Integers, KeyRuns, checked_digits
from vault.crypto.fpe.ff1 import FF1
from vault.crypto.fpe.ff3_1 import FF3_1
from vault.crypto.fpe.ff3_1_batch import run_batch
from vault.crypto.fpe.ff3_1_tweak import TWEAK_LENGTH
from vault.crypto.kdf import Label, expand
from vault.crypto.secret import Secret
from vault.crypto.tweak import FF1_TWEAK_LENGTH, TweakInput, TweakKey

__all__ = ["DerivedCipher", "DerivedFF1", "DerivedFF3_1"]

# All last-four values of a field fit, and some retries.
_TWEAKS_KEPT = 16_384
# Of values of two lengths, such as cards of 15 and 16 digits: 1.5 KiB each.
_CONTEXTS_KEPT = 2 * _TWEAKS_KEPT
_RADICES_KEPT = 64


class DerivedCipher(Protocol):
    """A cipher whose tweaks are inputs, not bytes. Every method raises ValueError."""

    def one(
        self, radix: int, digits: Sequence[int], tweak: TweakInput, *, decrypt: bool
    ) -> list[int]:
        """Runs one value."""

    def many(
        self, radix: int, digits: Integers, tweaks: Sequence[TweakInput], *, decrypt: bool
    ) -> Integers:
        """Runs the rows of an (n, length) array, each under its own tweak."""

    def rows(
        self,
        radix: int,
        digits: Integers,
        tweaks: Sequence[TweakInput],
        of_row: NDArray[np.int64],
        *,
        decrypt: bool,
    ) -> Integers:
        """Runs the rows of an (n, length) array, row ``i`` under ``tweaks[of_row[i]]``."""


class DerivedFF1(Secret):
    """FF1 under one key; the tweak goes into the block of each value."""

    __slots__ = ("_cipher", "_tweak")

    def __init__(self, key: bytes | bytearray, tweaks: TweakKey) -> None:
        @lru_cache(_RADICES_KEPT)
        def cipher(radix: int) -> FF1:
            return FF1(key, radix)

        @lru_cache(_TWEAKS_KEPT)
        def tweak(source: TweakInput) -> bytes:
            return tweaks.digest(source)[:FF1_TWEAK_LENGTH]

        self._cipher: Callable[[int], FF1] = cipher
        self._tweak: Callable[[TweakInput], bytes] = tweak

    def one(
        self, radix: int, digits: Sequence[int], tweak: TweakInput, *, decrypt: bool
    ) -> list[int]:
        """Runs one value."""
        cipher = self._cipher(radix)
        run = cipher.decrypt if decrypt else cipher.encrypt
        return run(digits, self._tweak(tweak))

    def many(
        self, radix: int, digits: Integers, tweaks: Sequence[TweakInput], *, decrypt: bool
    ) -> Integers:
        """Runs the rows of an array: one call of the kernel, whatever the tweaks."""
        cipher = self._cipher(radix)
        run = cipher.decrypt_batch if decrypt else cipher.encrypt_batch
        derived = list(map(self._tweak, tweaks))
        return run(digits, derived if len(set(derived)) > 1 else derived[0])

    def rows(
        self,
        radix: int,
        digits: Integers,
        tweaks: Sequence[TweakInput],
        of_row: NDArray[np.int64],
        *,
        decrypt: bool,
    ) -> Integers:
        """Runs the rows of an array, row ``i`` under ``tweaks[of_row[i]]``."""
        cipher = self._cipher(radix)
        run = cipher.decrypt_batch if decrypt else cipher.encrypt_batch
        derived = list(map(self._tweak, tweaks))
        if len(derived) == 1:
            return run(digits, derived[0])
        return run(digits, list(map(derived.__getitem__, of_row.tolist())))


class _Context(NamedTuple):
    """The cipher and tweak of one tweak input."""

    cipher: FF3_1
    tweak: bytes


class DerivedFF3_1(Secret):  # noqa: N801 - the standard's name
    """FF3-1 with one key per tweak and, from tweak version 2 on, per length.

    The published attacks need many tweaks under one key; and under one key a zero in the
    middle of a value shows in its token, as no round knows how long its half is.
    """

    __slots__ = ("_context", "_of_length")

    def __init__(self, key: bytes | bytearray, tweaks: TweakKey, tweak_version: int) -> None:
        of_length = tweak_version > 1
        label = Label.FF3_1_TWEAK_AND_LENGTH if of_length else Label.FF3_1_TWEAK

        @lru_cache(_CONTEXTS_KEPT)
        def context(radix: int, length: int, source: TweakInput) -> _Context:
            digest = tweaks.digest(source)
            own = (u32(length),) if of_length else ()
            derived = expand(key, label, u32(radix), *own, digest)
            return _Context(FF3_1(derived, radix), digest[:TWEAK_LENGTH])

        self._context: Callable[[int, int, TweakInput], _Context] = context
        self._of_length = of_length

    def one(
        self, radix: int, digits: Sequence[int], tweak: TweakInput, *, decrypt: bool
    ) -> list[int]:
        """Runs one value."""
        cipher, derived = self._context(radix, self._length(len(digits)), tweak)
        return cipher.decrypt(digits, derived) if decrypt else cipher.encrypt(digits, derived)

    def many(
        self, radix: int, digits: Integers, tweaks: Sequence[TweakInput], *, decrypt: bool
    ) -> Integers:
        """Runs the rows of an array, sorted by key: only the AES calls are made per key."""
        numbers = {source: i for i, source in enumerate(dict.fromkeys(tweaks))}
        of_row = np.array([numbers[source] for source in tweaks], np.int64)
        return self.rows(radix, digits, list(numbers), of_row, decrypt=decrypt)

    def rows(
        self,
        radix: int,
        digits: Integers,
        tweaks: Sequence[TweakInput],
        of_row: NDArray[np.int64],
        *,
        decrypt: bool,
    ) -> Integers:
        """Runs the rows of an array, row ``i`` under ``tweaks[of_row[i]]``."""
        length = self._length(digits.shape[1])
        contexts = [self._context(radix, length, source) for source in tweaks]
        cipher, tweak = contexts[0]
        if len(contexts) == 1:
            run = cipher.decrypt_batch if decrypt else cipher.encrypt_batch
            return run(digits, tweak)
        checked = checked_digits(digits, radix, cipher.min_length, cipher.max_length)
        order = np.argsort(of_row, kind="stable")
        bounds = np.searchsorted(of_row[order], np.arange(len(contexts) + 1)).tolist()
        groups = KeyRuns([context.cipher.aes for context in contexts], bounds)
        row_tweaks = [contexts[i].tweak for i in of_row[order].tolist()]
        result = np.empty_like(checked, order="C")
        result[order] = run_batch(groups, radix, checked[order], row_tweaks, decrypt=decrypt)
        return result

    def _length(self, length: int) -> int:
        """Returns what stands for a length where contexts are kept: nothing in version 1."""
        return length if self._of_length else 0
