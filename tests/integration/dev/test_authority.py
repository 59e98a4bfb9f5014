from __future__ import annotations

import datetime as dt
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vault.dev.authority import Authority, Credentials
from vault.rpc.authn.development_mark import is_development_authority

SPIFFE = "spiffe://example.org/support"


@dataclass
class Clock:
    now: dt.datetime

    def __call__(self) -> dt.datetime:
        return self.now


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def both(paths: Credentials) -> tuple[bytes, bytes]:
    return paths.cert.read_bytes(), paths.key.read_bytes()


def test_a_client_has_exactly_its_spiffe_id(private_tmp: Path) -> None:
    authority = Authority(private_tmp)
    certificate = load(authority.issue_client("support", SPIFFE).cert)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(SPIFFE)]
    certificate.verify_directly_issued_by(load(authority.certificate_path))


def test_keys_are_for_their_owner_alone(private_tmp: Path) -> None:
    authority = Authority(private_tmp / "pki")
    authority.issue_client("support", SPIFFE)
    authority.issue_server("server")
    keys = list((private_tmp / "pki").rglob("*.key"))
    assert len(keys) == 3
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert stat.S_IMODE((private_tmp / "pki").stat().st_mode) == 0o700


def test_a_second_start_keeps_what_is_good(private_tmp: Path) -> None:
    before = Authority(private_tmp)
    client, server = before.issue_client("support", SPIFFE), before.issue_server("server")
    held = (before.certificate_path.read_bytes(), both(client), both(server))
    again = Authority(private_tmp)
    again.issue_client("support", SPIFFE)
    again.issue_server("server")
    assert (again.certificate_path.read_bytes(), both(client), both(server)) == held


def test_all_is_renewed_with_less_than_a_week_left(private_tmp: Path) -> None:
    clock = Clock(dt.datetime.now(dt.UTC))
    first = Authority(private_tmp, clock=clock)
    client = first.issue_client("support", SPIFFE)
    old_ca, old_client = load(first.certificate_path), load(client.cert)
    clock.now += dt.timedelta(days=22)
    assert load(Authority(private_tmp, clock=clock).certificate_path) == old_ca
    clock.now += dt.timedelta(days=2)
    second = Authority(private_tmp, clock=clock)
    assert load(second.certificate_path) != old_ca
    second.issue_client("support", SPIFFE)
    assert load(client.cert) != old_client
    load(client.cert).verify_directly_issued_by(load(second.certificate_path))


def test_another_identity_gets_another_certificate(private_tmp: Path) -> None:
    authority = Authority(private_tmp)
    before = both(authority.issue_client("support", SPIFFE))
    assert both(authority.issue_client("support", SPIFFE + "-2")) != before


def test_threads_that_ask_for_the_same_get_a_pair_that_fits(private_tmp: Path) -> None:
    authority = Authority(private_tmp)

    def ask(_: int) -> tuple[bytes, bytes]:
        return both(authority.issue_client("support", SPIFFE))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def test_all_of_it_bears_the_mark(private_tmp: Path) -> None:
    authority = Authority(private_tmp)
    for path in (authority.certificate_path, authority.issue_server("server").cert):
        assert is_development_authority(load(path))


def test_a_real_authority_bears_no_mark() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A bank")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    assert not is_development_authority(certificate)
