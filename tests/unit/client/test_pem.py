"""A caller's files that are not what they should be are named, each with what it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vault.client import Client, ClientJwt, ClientTls
from vault.client.jwt import _Bearer
from vault.dev.authority import Authority

CANARY = "4111111111111111"
Files = dict[str, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    authority = Authority(tmp_path_factory.mktemp("authority") / "pki")
    ours = authority.issue_client("caller", "spiffe://example.org/caller")
    other = authority.issue_client("other", "spiffe://example.org/other")
    secret = serialization.load_pem_private_key(ours.key.read_bytes(), None)
    assert isinstance(secret, ec.EllipticCurvePrivateKey)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    cert = ours.cert.read_bytes()
    pem = serialization.Encoding.PEM
    return {
        "ca": authority.certificate_path.read_bytes(),
        "cert": cert,
        "key": ours.key.read_bytes(),
        "other": other.cert.read_bytes(),
        "request": request.sign(secret, hashes.SHA256()).public_bytes(pem),
        "encrypted": secret.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        ),
        "der": x509.load_pem_x509_certificates(cert)[0].public_bytes(serialization.Encoding.DER),
        "der key": secret.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        "csv": f"card\n{CANARY}\n".encode(),
        "empty": b"\n",
        "torn": cert[:100] + b"\n-----END CERTIFICATE-----\n",
        "torn key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "crlf": cert.replace(b"\n", b"\r\n"),
        "chain": cert + authority.certificate_path.read_bytes(),
        "wrong order": authority.certificate_path.read_bytes() + cert,
        "both": cert + ours.key.read_bytes(),
    }


@pytest.fixture
def files(tmp_path: Path, made: dict[str, bytes]) -> Files:
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600 if "key" in name or name == "both" else 0o644)
    return {name: tmp_path / name for name in (*made, "nosuch")}


def refusal(tls: ClientTls | ClientJwt) -> str:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - what it says is what is tested
        tls.credentials()
    error = caught.value
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"cert": "nosuch"}, "nosuch: No such file"),
        ({"key": "nosuch"}, "nosuch: No such file"),
        ({"ca": "nosuch"}, "nosuch: No such file"),
        ({"ca": "csv"}, "csv holds no certificate in PEM"),
        ({"ca": "key"}, "key holds a private key, not a certificate"),
        ({"ca": "empty"}, "empty is empty"),
        ({"ca": "der"}, "der is in DER, not PEM: convert it, as with openssl x509"),
        ({"ca": "torn"}, "torn holds a certificate that cannot be read"),
        ({"cert": "csv"}, "csv holds no certificate in PEM"),
        ({"cert": "torn"}, "torn holds a certificate that cannot be read"),
        ({"cert": "request"}, "request holds a certificate request, not a certificate"),
        ({"cert": "other"}, "key is not the private key of "),
        ({"cert": "wrong order"}, "must be the first one in "),
        ({"cert": "key", "key": "cert"}, "key holds a private key, not a certificate"),
        ({"key": "cert"}, "cert holds a certificate, not a private key"),
        ({"key": "csv"}, "csv holds no private key in PEM"),
        ({"key": "der key"}, "der key is in DER, not PEM: convert it, as with openssl pkey"),
        ({"key": "torn key"}, "torn key holds a private key that cannot be read"),
    ],
)
def test_a_file_that_is_something_else_is_named(
    files: Files, wrong: dict[str, str], told: str
) -> None:
    chosen = {"ca": "ca", "cert": "cert", "key": "key", **wrong}
    message = refusal(ClientTls(**{option: files[name] for option, name in chosen.items()}))
    assert told in message
    assert "chmod" not in message
    assert CANARY not in message


def test_an_encrypted_key_is_named_and_no_password_asked_for(files: Files) -> None:
    files["encrypted"].chmod(0o600)
    message = refusal(ClientTls(files["ca"], files["cert"], files["encrypted"]))
    assert f"{files['encrypted']} is encrypted" in message


@pytest.mark.parametrize(
    ("cert", "key"), [("cert", "key"), ("crlf", "key"), ("chain", "key"), ("both", "both")]
)
def test_what_is_right_is_taken(files: Files, cert: str, key: str) -> None:
    with Client("localhost:1", ClientTls(files["ca"], files[cert], files[key])):
        pass


def test_each_file_is_read_once(files: Files, tmp_path: Path, made: dict[str, bytes]) -> None:
    pipes = {name: tmp_path / f"{name}.pipe" for name in ("ca", "cert", "key")}
    for name, path in pipes.items():
        os.mkfifo(path, 0o600)
        threading.Thread(target=path.write_bytes, args=[made[name]], daemon=True).start()
    ClientTls(**pipes).credentials()


def test_the_authority_of_a_caller_with_a_token_is_looked_at_too(files: Files) -> None:
    assert "csv holds no certificate" in refusal(ClientJwt(files["csv"], files["nosuch"]))


@pytest.mark.parametrize("wrong", ["nosuch", "shared", "bytes"])
def test_a_token_s_file_is_named(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / wrong
    if wrong != "nosuch":
        path.write_bytes(f"\xff{CANARY}".encode("latin-1"))
        path.chmod(0o666 if wrong == "shared" else 0o600)
    sent: list[Exception | None] = []
    _Bearer(path)(grpc.AuthMetadataContext(), lambda _, error: sent.append(error))
    (error,) = sent
    assert str(path) in str(error)
    assert CANARY not in str(error)
