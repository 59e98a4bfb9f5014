"""AES-CMAC: published answers, and every length beside another implementation."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.cmac import Cmac

# NIST SP 800-38B, D.3 (AES-256), and RFC 4493, 4 (AES-128).
LONG = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
SHORT = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
ANSWERS = {
    LONG: {
        0: "028962f61b7bf89efc6b551f4667d983",
        16: "28a7023f452e8f82bd4bf28d8c37c35c",
        40: "aaf3d8f1de5640c232f5b169b9c911e6",
        64: "e1992190549f6ed5696a2c056c315410",
    },
    SHORT: {
        0: "bb1d6929e95937287fa37d129b756746",
        16: "070a16b46b4d4144f79bdd9dd04a287c",
        40: "dfa66747de9ae63030ca32611497c827",
        64: "51f0bebf7e3b9d92fc49741779363cfe",
    },
}


MANY = 100  # times: so many go through arrays, few do not


@pytest.mark.parametrize("times", [1, MANY], ids=["few", "many"])
@pytest.mark.parametrize("key", [LONG, SHORT], ids=["aes-256", "aes-128"])
def test_published_answers(key: bytes, times: int) -> None:
    answers = ANSWERS[key]
    messages = [MESSAGE[:length] for length in answers]
    assert Cmac(key).digests(messages * times).hex() == "".join(answers.values()) * times


@given(st.lists(st.binary(max_size=70), max_size=8))
def test_a_batch_is_what_another_implementation_says_one_by_one(messages: list[bytes]) -> None:
    expected = b""
    for message in messages:
        other = CMAC(AES(LONG))
        other.update(message)
        expected += other.finalize()
    assert Cmac(LONG).digests(messages) == expected
    assert Cmac(LONG).digests(messages * MANY) == expected * MANY


def test_a_key_of_another_length_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ValueError, match="AES key"):
        Cmac(b"x" * 20)
    assert repr(Cmac(LONG)) == "<Cmac>"
