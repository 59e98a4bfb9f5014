"""How a certificate of the development environment is told from a real one.

``serve`` refuses such certificates; only the development server's own entry point may
allow them.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

__all__ = ["DEVELOPMENT_MARKER", "DEVELOPMENT_ORGANIZATION", "is_development_authority"]

DEVELOPMENT_ORGANIZATION = "Tokenvault development CA, not for production"

# An object identifier under 2.25, the arc that a random UUID gives to anybody (X.667).
DEVELOPMENT_MARKER = x509.ObjectIdentifier("2.25.193726254710917382645018237465920183746")


def is_development_authority(certificate: x509.Certificate) -> bool:
    """Tells whether a certificate is a development CA's own or was issued by one.

    Name and private extension each suffice: who means to remove the mark makes a CA of
    his own anyway; the check is against accidents.
    """
    names = (certificate.subject, certificate.issuer)
    return _has_marker(certificate) or any(_is_ours(name) for name in names)


def _has_marker(certificate: x509.Certificate) -> bool:
    return any(extension.oid == DEVELOPMENT_MARKER for extension in certificate.extensions)


def _is_ours(name: x509.Name) -> bool:
    attributes = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return any(attribute.value == DEVELOPMENT_ORGANIZATION for attribute in attributes)
