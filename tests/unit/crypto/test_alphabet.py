from __future__ import annotations

import numpy as np
import pytest

from vault.crypto.alphabet import NAMED_ALPHABETS, Alphabet
from vault.errors import FormatError, Reason


def test_positions_follow_the_order_given() -> None:
    alphabet = Alphabet("zay")
    assert alphabet.radix == 3
    assert alphabet.encode("yaz") == [2, 1, 0]
    assert alphabet.decode([0, 1, 2]) == "zay"
    assert "z" in alphabet
    assert "b" not in alphabet


def test_order_decides_digest_and_equality() -> None:
    assert Alphabet("ab") == Alphabet("ab")
    assert hash(Alphabet("ab")) == hash(Alphabet("ab"))
    assert Alphabet("ab") != Alphabet("ba")
    assert Alphabet("ab").digest != Alphabet("ba").digest


def test_named_alphabets() -> None:
    assert {name: alphabet.radix for name, alphabet in NAMED_ALPHABETS.items()} == {
        "digits": 10,
        "lower": 26,
        "upper": 26,
        "letters": 52,
        "alphanumeric": 62,
        "alphanumeric_upper": 36,
        "alphanumeric_lower": 36,
        "hex_lower": 16,
        "hex_upper": 16,
    }
    assert NAMED_ALPHABETS["alphanumeric"].decode([0, 10, 36]) == "0Aa"


@pytest.mark.parametrize(
    "characters",
    [
        "",
        "a",
        "aba",
        "ab\ud800",
        "abe\u0301",
        "ab\u200b",
        "ab\u202e",
        "ab\n",
        "ab\u0378",
        "ab\u2126",  # OHM SIGN is an omega under NFC
        "\u1100\u1161",  # Hangul letters that join under NFC
    ],
    ids=[
        "empty",
        "one",
        "duplicate",
        "surrogate",
        "combining",
        "zero-width",
        "right-to-left override",
        "control",
        "unassigned",
        "not NFC",
        "joining",
    ],
)
def test_unsafe_alphabets_are_refused(characters: str) -> None:
    with pytest.raises(ValueError, match="an alphabet must"):
        Alphabet(characters)


def test_more_than_65536_characters_are_refused() -> None:
    with pytest.raises(ValueError, match="from 2 to 65536"):
        Alphabet("".join(map(chr, range(0x20000, 0x30001))))


def test_accented_and_astral_letters_are_positions_of_their_own() -> None:
    alphabet = Alphabet("aé𝒳中")
    assert alphabet.decode(alphabet.encode("中é𝒳a")) == "中é𝒳a"


@pytest.mark.parametrize("text", ["12x", "١٢٣", "１２３", "1_0", " 1", "-1", "²"])
def test_a_foreign_character_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        NAMED_ALPHABETS["digits"].encode(text)
    assert caught.value.reason is Reason.VALUE_NOT_IN_FORMAT
    assert caught.value.__context__ is None
    assert text not in caught.value.message


@pytest.mark.parametrize("digits", [[-1, 0], [0, 10]])
def test_a_position_outside_is_refused(digits: list[int]) -> None:
    with pytest.raises(ValueError, match="outside of the alphabet"):
        NAMED_ALPHABETS["digits"].decode(digits)


def test_nothing_to_encode_or_decode() -> None:
    assert NAMED_ALPHABETS["digits"].encode("") == []
    assert NAMED_ALPHABETS["digits"].decode([]) == ""


@pytest.mark.parametrize(
    "characters", ["0123456789", "zyx!~ ", "aé𝒳中", "".join(map(chr, range(0x4E00, 0x9000)))]
)
def test_many_at_once_is_one_by_one(characters: str) -> None:
    alphabet = Alphabet(characters)
    ends = characters[-1] + characters[0]
    texts = [ends * 3, characters[:6].ljust(6, characters[0]), characters[-6:].rjust(6, ends[0])]
    texts = [text[:6] for text in texts]
    digits = alphabet.encode_many(texts)
    assert digits.tolist() == [alphabet.encode(text) for text in texts]
    assert alphabet.decode_many(digits) == texts
    assert alphabet.decode_many(digits.astype(np.int64)) == texts


@pytest.mark.parametrize("characters", ["0123456789", "0123456789é"])
@pytest.mark.parametrize("text", ["12x", "١٢٣", "１２３", "12\ud800", "12\xff", "12\U0010ffff"])
def test_many_at_once_refuse_a_foreign_character(characters: str, text: str) -> None:
    with pytest.raises(FormatError) as caught:
        Alphabet(characters).encode_many(["123", text])
    assert caught.value.reason is Reason.VALUE_NOT_IN_FORMAT
    assert caught.value.__context__ is None
    assert text not in caught.value.message


def test_many_at_once_have_one_length() -> None:
    with pytest.raises(ValueError, match="one length"):
        NAMED_ALPHABETS["digits"].encode_many(["12", "1", "123"])
    assert NAMED_ALPHABETS["digits"].encode_many([]).shape == (0, 0)
    assert NAMED_ALPHABETS["digits"].decode_many(np.empty((0, 4), np.uint8)) == []


@pytest.mark.parametrize("digit", [-1, 10])
def test_many_at_once_refuse_a_position_outside(digit: int) -> None:
    with pytest.raises(ValueError, match="outside of the alphabet"):
        NAMED_ALPHABETS["digits"].decode_many(np.array([[1, digit]]))


def test_empty_texts_come_back() -> None:
    digits = Alphabet("0123456789")
    assert digits.decode_many(digits.encode_many(["", "", ""])) == ["", "", ""]
