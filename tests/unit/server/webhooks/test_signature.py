"""Signatures as Standard Webhooks publishes them."""

from __future__ import annotations

import base64

import pytest

from vault.server.webhooks.signature import read_signing_keys, signature

# The specification's known answer, which its libraries test themselves with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, TIMESTAMP = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
BODY = b'{"test": 2432232314}'
ANSWER = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_answer() -> None:
    assert signature(read_signing_keys(SECRET), MESSAGE, TIMESTAMP, BODY) == ANSWER


def test_each_key_signs() -> None:
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    both = signature(read_signing_keys(f"\n{SECRET}\n {other} \n"), MESSAGE, TIMESTAMP, BODY)
    assert both.split(" ")[0] == ANSWER
    assert both.split(" ")[1] == signature([bytes(32)], MESSAGE, TIMESTAMP, BODY)


@pytest.mark.parametrize("size", [24, 64])
def test_keys_of_every_length_that_the_specification_has(size: int) -> None:
    key = bytes(range(size))
    assert read_signing_keys("whsec_" + base64.b64encode(key).decode()) == [key]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
        SECRET + "\nwhsec_short",
    ],
)
def test_what_is_no_key_is_refused_unquoted(text: str) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        read_signing_keys(text)
    assert not any(line[6:] in str(caught.value) for line in text.split() if line[6:])
