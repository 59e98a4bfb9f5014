"""The development certificate authority: one CA, its servers and its clients.

Everything is valid 30 days and renewed at a start with less than 7 days left. The CA
carries a marker by which ``serve`` refuses it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vault.dev.private_files import private_directory, write_private
from vault.rpc.authn.development_mark import DEVELOPMENT_MARKER, DEVELOPMENT_ORGANIZATION

__all__ = ["TRUST_DOMAIN", "Authority", "Credentials", "spiffe_id"]

TRUST_DOMAIN = "example.org"
VALIDITY = dt.timedelta(days=30)
RENEW_UNDER = dt.timedelta(days=7)
_BACKDATE = dt.timedelta(minutes=5)
_NO_KEY_USAGE = {
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "encipher_only": False,
    "decipher_only": False,
}


class Credentials(NamedTuple):
    """Paths of a certificate and of its private key (0600), both PEM."""

    cert: Path
    key: Path


def spiffe_id(role: str, domain: str = TRUST_DOMAIN) -> str:
    """Returns the SPIFFE ID of a role: ``fraud_lead`` is ``spiffe://example.org/fraud-lead``."""
    return f"spiffe://{domain}/{role.replace('_', '-')}"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Authority:
    """A CA in a directory (0700) of one process, whose threads may share it.

    ``clock`` returns the time, aware of its zone.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], dt.datetime] = _now) -> None:
        self._directory = private_directory(directory)
        self._clock = clock
        self._issuing = Lock()
        self.certificate_path = directory / "ca.pem"
        self._key_path = directory / "ca.key"
        self._certificate, self._key = self._load_or_make()

    def issue_server(self, name: str) -> Credentials:
        """Returns a server's certificate for localhost, 127.0.0.1 and ::1."""
        names = x509.SubjectAlternativeName(
            [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                x509.IPAddress(ipaddress.ip_address("::1")),
            ]
        )
        return self._issue(name, names, ExtendedKeyUsageOID.SERVER_AUTH)

    def issue_client(self, name: str, identity: str) -> Credentials:
        """Returns a client's certificate with one URI name, such as a SPIFFE ID."""
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
        directory = private_directory(self._directory / "clients")
        return self._issue(name, names, ExtendedKeyUsageOID.CLIENT_AUTH, directory)

    def _load_or_make(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        if self.certificate_path.exists() and self._key_path.exists():
            certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
            key = _load_key(self._key_path)
            if self._is_fresh(certificate) and certificate.public_key() == key.public_key():
                return certificate, key
        return self._make()

    def _make(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Tokenvault development CA")
        usage = x509.KeyUsage(
            digital_signature=False, key_cert_sign=True, crl_sign=True, **_NO_KEY_USAGE
        )
        certificate = (
            self._builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.UnrecognizedExtension(DEVELOPMENT_MARKER, b"\x05\x00"), False)
            .sign(key, hashes.SHA256())
        )
        _write(Credentials(self.certificate_path, self._key_path), certificate, key)
        return certificate, key

    def _issue(
        self,
        name: str,
        names: x509.SubjectAlternativeName,
        usage: x509.ObjectIdentifier,
        directory: Path | None = None,
    ) -> Credentials:
        home = directory or self._directory
        paths = Credentials(home / f"{name}.pem", home / f"{name}.key")
        with self._issuing:
            # Certificate and key are two files: another thread must not replace one of them
            # between a caller's reading both.
            if not self._is_current(paths, names):
                self._write_new(paths, name, names, usage)
        return paths

    def _write_new(
        self,
        paths: Credentials,
        name: str,
        names: x509.SubjectAlternativeName,
        usage: x509.ObjectIdentifier,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        key_usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=False, crl_sign=False, **_NO_KEY_USAGE
        )
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            self._builder(_name(name), self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(names, critical=False)
            .add_extension(issuer_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write(paths, certificate, key)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = self._clock()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + VALIDITY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def _is_fresh(self, certificate: x509.Certificate) -> bool:
        now = self._clock()
        return (
            certificate.not_valid_before_utc <= now
            and certificate.not_valid_after_utc - now >= RENEW_UNDER
        )

    def _is_current(self, paths: Credentials, names: x509.SubjectAlternativeName) -> bool:
        if not (paths.cert.exists() and paths.key.exists()):
            return False
        certificate = x509.load_pem_x509_certificate(paths.cert.read_bytes())
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except Exception:  # noqa: BLE001 - of another CA, in whichever way: issue another
            return False
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return (
            self._is_fresh(certificate)
            and present.value == names
            and certificate.public_key() == _load_key(paths.key).public_key()
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, DEVELOPMENT_ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds no elliptic-curve key")
    return key


def _write(
    paths: Credentials, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    write_private(
        paths.key,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    write_private(paths.cert, certificate.public_bytes(serialization.Encoding.PEM))
