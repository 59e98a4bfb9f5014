"""Certificates as callers might bring them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MakeCertificate = Callable[..., bytes]


@pytest.fixture(scope="session")
def signer() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def certificate(signer: ec.EllipticCurvePrivateKey) -> MakeCertificate:
    """Makes a self-signed PEM certificate with the given names."""

    def make(
        *uris: str,
        others: Sequence[x509.GeneralName] = (),
        authority: bool = False,
        serial: int = 0xABC123,
        days: int = 1,
    ) -> bytes:
        now = datetime.now(UTC)
        name = x509.Name([])
        names = [*(x509.UniformResourceIdentifier(uri) for uri in uris), *others]
        builder = (
            x509.CertificateBuilder(subject_name=name, issuer_name=name)
            .public_key(signer.public_key())
            .serial_number(serial)
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if authority:
            builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        made = builder.sign(signer, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    return make
