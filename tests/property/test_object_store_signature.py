"""Our signatures of requests are those that botocore makes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.small_bucket import CREDENTIALS, REGION, aws_signature
from vault.audit.objects.signature import Credentials, signed_headers

NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~", min_size=1)
HOSTS = st.sampled_from(
    ["s3.example.org", "Bucket.s3.eu-central-1.amazonaws.com", "127.0.0.1", "[::1]"]
)
PORTS = st.sampled_from(["", ":443", ":80", ":9000"])
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from(["if-none-match", "If-Match", "content-type"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
)


@given(
    st.sampled_from(["GET", "PUT"]),
    st.sampled_from(["http://", "https://"]),
    HOSTS,
    PORTS,
    st.lists(NAMES, min_size=1, max_size=4),
    HEADERS,
    st.binary(max_size=50),
    st.builds(Credentials, st.text("ABCDEF0123456789", min_size=1), SECRETS, st.just("") | SECRETS),
    st.sampled_from(["us-east-1", "auto"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)),
)
def test_we_sign_as_botocore_does(
    method: str,
    scheme: str,
    host: str,
    port: str,
    path: list[str],
    headers: dict[str, str],
    content: bytes,
    credentials: Credentials,
    region: str,
    time: datetime,
) -> None:
    url, now = f"{scheme}{host}{port}/{'/'.join(path)}", time.replace(tzinfo=UTC)
    sent = signed_headers(
        method, url, headers, content, credentials=credentials, region=region, now=now
    )
    made = aws_signature(method, url, headers, content, credentials, region, now)
    assert sent["authorization"] == made


@pytest.mark.parametrize(
    "url", ["https://h/a%20b", "https://h/a?b", "https://h/a#b", "https://h/ä"]
)
def test_what_would_need_escaping_is_not_signed(url: str) -> None:
    with pytest.raises(ValueError, match="not plain"):
        signed_headers(
            "GET", url, {}, b"", credentials=CREDENTIALS, region=REGION, now=datetime.now(UTC)
        )


def test_no_repr_has_a_secret() -> None:
    assert CREDENTIALS.secret not in repr(CREDENTIALS)
    assert CREDENTIALS.token not in repr(CREDENTIALS)
