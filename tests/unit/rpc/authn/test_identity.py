from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509

from vault.errors import Reason, Unauthenticated
from vault.model import Principal
from vault.rpc.authn.identity import identity_of

GOOD = "spiffe://example.org/pipeline"


def test_a_spiffe_leaf_is_a_principal(certificate: Callable[..., bytes]) -> None:
    identity = identity_of(certificate(GOOD), "example.org")
    assert identity.principal == Principal("spiffe", GOOD)
    assert identity.credential == "abc123"


def test_other_kinds_of_names_may_stand_beside(certificate: Callable[..., bytes]) -> None:
    pem = certificate(GOOD, others=[x509.DNSName("etl.example.org")])
    assert identity_of(pem, "example.org").principal.subject == GOOD


@pytest.mark.parametrize(
    ("uris", "message"),
    [
        ((), "exactly one URI"),
        ((GOOD, "spiffe://example.org/other"), "exactly one URI"),
        ((GOOD, "https://example.org/"), "exactly one URI"),
        (("https://example.org/pipeline",), "not a valid SPIFFE ID"),
        (("spiffe://example.org",), "not a valid SPIFFE ID"),
        (("spiffe://example.org/",), "not a valid SPIFFE ID"),
        (("spiffe://example.org/a/",), "not a valid SPIFFE ID"),
        (("spiffe://example.org//a",), "not a valid SPIFFE ID"),
        (("spiffe://example.org/a/../b",), "not a valid SPIFFE ID"),
        (("spiffe://example.org/./b",), "not a valid SPIFFE ID"),
        (("spiffe://example.org/a?x=1",), "not a valid SPIFFE ID"),
        (("spiffe://example.org/a#x",), "not a valid SPIFFE ID"),
        (("spiffe://example.org/%61",), "not a valid SPIFFE ID"),
        (("spiffe://example.org:443/a",), "not a valid SPIFFE ID"),
        (("spiffe://me@example.org/a",), "not a valid SPIFFE ID"),
        (("SPIFFE://example.org/a",), "not a valid SPIFFE ID"),
        (("spiffe://EXAMPLE.org/a",), "not a valid SPIFFE ID"),
        (("spiffe://example.org/a\n",), "not a valid SPIFFE ID"),
        (("spiffe://example.org/" + "a" * 2048,), "not a valid SPIFFE ID"),
        (("spiffe://example.com/pipeline",), "another trust domain"),
        (("spiffe://example.org.evil.com/pipeline",), "another trust domain"),
    ],
)
def test_everything_else_is_refused(
    certificate: Callable[..., bytes], uris: tuple[str, ...], message: str
) -> None:
    with pytest.raises(Unauthenticated, match=message) as caught:
        identity_of(certificate(*uris), "example.org")
    assert caught.value.reason is Reason.UNAUTHENTICATED


def test_an_authority_is_no_caller(certificate: Callable[..., bytes]) -> None:
    with pytest.raises(Unauthenticated, match="authority"):
        identity_of(certificate(GOOD, authority=True), "example.org")


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_what_is_no_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(Unauthenticated, match="cannot be read"):
        identity_of(pem, "example.org")
