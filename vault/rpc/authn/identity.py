"""Who calls, read from the client certificate that TLS has verified.

Source: SPIFFE ID and X509-SVID specifications: exactly one URI SAN, which is the SPIFFE
ID (X509-SVID, section 2), in a leaf that signs no certificates (section 4.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import grpc
from cryptography import x509

from vault.errors import Unauthenticated
from vault.model import Person, Principal

__all__ = ["Identify", "Identity", "identify_by_certificate", "identity_of"]

_MAX_ID_BYTES = 2048
_SPIFFE_ID = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified caller.

    Attributes:
        credential: the certificate's serial number (lower-case hex), or the JWT's id.
        expires: when the credential ends (aware, UTC): connections outlive handshakes.
        person: who that is as a human being; None for every certificate.
        auth_time: when the person proved who they are (aware, UTC), or None.
    """

    principal: Principal
    credential: str
    expires: datetime
    person: Person | None = None
    auth_time: datetime | None = None


Identify = Callable[[grpc.ServicerContext], Identity]
"""Returns who makes a call. Raises Unauthenticated, with one of a fixed set of messages."""


def identify_by_certificate(trust_domain: str) -> Identify:
    """Returns how the mTLS listener identifies callers: by their certificate and nothing else."""
    known = lru_cache(1024)(lambda pem: identity_of(pem, trust_domain))

    def identify(context: grpc.ServicerContext) -> Identity:
        certificates: Iterable[object] = context.auth_context().get("x509_pem_cert", ())
        pem = next(iter(certificates), None)
        if not isinstance(pem, bytes):
            raise Unauthenticated("the call carries no client certificate")
        identity = known(pem)
        if identity.expires <= datetime.now(UTC):
            raise Unauthenticated("the client certificate has expired")
        return identity

    return identify


def identity_of(pem: bytes, trust_domain: str) -> Identity:
    """Reads the caller's identity from its certificate.

    Args:
        pem: the leaf certificate, PEM, already verified by TLS.
        trust_domain: the only one accepted, such as ``example.org``.

    Raises:
        Unauthenticated: the certificate is no SPIFFE leaf of the trust domain.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names, authority = _uri_names(certificate), _is_authority(certificate)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Unauthenticated("the client certificate cannot be read") from None
    if authority:
        raise Unauthenticated("the client certificate is a certificate authority's")
    if len(names) != 1:
        raise Unauthenticated("the client certificate needs exactly one URI name, a SPIFFE ID")
    return Identity(
        principal=Principal("spiffe", _checked_id(names[0], trust_domain)),
        credential=f"{certificate.serial_number:x}",
        expires=certificate.not_valid_after_utc,
    )


def _uri_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _checked_id(text: str, trust_domain: str) -> str:
    match = _SPIFFE_ID.fullmatch(text) if len(text) <= _MAX_ID_BYTES else None
    if match is None or {".", ".."} & set(match[2].split("/")):
        raise Unauthenticated("the client certificate's URI name is not a valid SPIFFE ID")
    if match[1] != trust_domain:
        raise Unauthenticated("the client certificate belongs to another trust domain")
    return text
