"""How certificates of the development environment are distinguished from real ones.

``serve`` refuses such certificates; only the development server's own entry point may
allow them.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

__all__ = ["DEVELOPMENT_MARKER", "DEVELOPMENT_ORGANIZATION", "is_development_authority"]

DEVELOPMENT_ORGANIZATION = "Tokenvault development CA, not for production"

# Under 2.999, the arc kept for examples: no real certificate has it. Not under 2.25,
# whose UUIDs are numbers too large for Go's parser, so that grpcurl would refuse the CA.
DEVELOPMENT_MARKER = x509.ObjectIdentifier("2.999.50051.1")


def is_development_authority(certificate: x509.Certificate) -> bool:
    """Returns whether a certificate is a development CA's own or was issued by one.

    Name and private extension each suffice: the check is against accidents. Whoever wants to
    remove the mark can make another CA anyway.
    """
    names = (certificate.subject, certificate.issuer)
    return _has_marker(certificate) or any(_is_ours(name) for name in names)


def _has_marker(certificate: x509.Certificate) -> bool:
    return any(extension.oid == DEVELOPMENT_MARKER for extension in certificate.extensions)


def _is_ours(name: x509.Name) -> bool:
    attributes = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return any(attribute.value == DEVELOPMENT_ORGANIZATION for attribute in attributes)
