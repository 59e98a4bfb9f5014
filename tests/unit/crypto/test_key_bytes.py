"""Bytes of a key: overwritten at their end, and never before it."""

from __future__ import annotations

import copy
import ctypes
import pickle

import pytest

from vault.crypto.aead import BoundAead
from vault.crypto.kdf import Label, expand
from vault.crypto.secret import KeyBytes


def test_they_are_overwritten_when_nobody_holds_them() -> None:
    key = KeyBytes(b"\xa5" * 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(key))
    held = key
    del key
    assert ctypes.string_at(address, 4096) == b"\xa5" * 4096
    held.__del__()  # what Python calls at the end; after it the memory is not ours to read
    assert ctypes.string_at(address, 4096) == bytes(4096)


def test_a_cipher_goes_on_with_its_key_whoever_lets_go_of_it() -> None:
    aead = BoundAead(b"k" * 32, Label.ROW, "t", "f", 1)
    same = BoundAead(b"k" * 32, Label.ROW, "t", "f", 1)
    assert same.open(aead.seal(b"value")) == b"value"
    assert expand(b"k" * 32, Label.AUDIT) == expand(bytearray(b"k" * 32), Label.AUDIT)


def test_they_are_neither_shown_nor_copied_away() -> None:
    key = expand(b"k" * 32, Label.AUDIT)
    for shown in (repr(key), str(key), f"{key}", repr([key])):
        assert shown in ("<KeyBytes>", "[<KeyBytes>]")
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            leave(key)
