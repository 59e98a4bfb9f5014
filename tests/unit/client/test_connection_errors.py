"""The error of a caller whose connection the server, or TLS, refuses: a real handshake each."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vault.cli.exits import describe_failure
from vault.client import CallError, Client, ClientJwt, ClientTls
from vault.client.retry import RetryPolicy
from vault.client.transport import Contact, explain_status, transport_failure

ONCE = RetryPolicy(attempts=1)
NOW = dt.datetime.now(dt.UTC)


class Authority:
    """Issues certificates of any validity."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home / name
        self.home.mkdir()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(self.name, self.key, -9, 9)
        made = made.add_extension(x509.BasicConstraints(True, None), critical=True)
        self.path = self._write("ca.pem", made)

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, begin: float, end: float
    ) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            self.name,
            name,
            key.public_key(),
            x509.random_serial_number(),
            NOW + dt.timedelta(days=begin),
            NOW + dt.timedelta(days=end),
        )

    def _write(self, name: str, builder: x509.CertificateBuilder) -> Path:
        path = self.home / name
        made = builder.sign(self.key, hashes.SHA256())
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(
        self, name: str, who: x509.GeneralName, begin: float = -2, end: float = 2
    ) -> tuple[Path, Path]:
        """Returns certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([]), key, begin, end)
        names = x509.SubjectAlternativeName([who])
        cert = self._write(f"{name}.pem", builder.add_extension(names, critical=True))
        path = self.home / f"{name}.key"
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert, path


@dataclass
class Town:
    ours: Authority
    theirs: Authority
    port: int
    plain: int
    silent: int

    def caller(
        self, authority: Authority | None = None, begin: float = -2, end: float = 2
    ) -> ClientTls:
        who = x509.UniformResourceIdentifier("spiffe://example.org/etl")
        cert, key = (authority or self.ours).issue("caller", who, begin, end)
        return ClientTls(self.ours.path, cert, key)

    def refusal(self, tls: ClientTls | ClientJwt, address: str = "") -> CallError:
        target = address or f"localhost:{self.port}"
        with (
            Client(target, tls, retry=ONCE, timeout=5) as client,
            pytest.raises(CallError) as caught,
        ):
            client.tokenize("ssn", ["078051120"])
        return caught.value


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    home = tmp_path_factory.mktemp("town")
    ours, theirs = Authority(home, "ours"), Authority(home, "theirs")
    cert, key = ours.issue("server", x509.DNSName("localhost"))
    pair = [(key.read_bytes(), cert.read_bytes())]
    server = grpc.server(ThreadPoolExecutor(2))
    credentials = grpc.ssl_server_credentials(pair, ours.path.read_bytes(), True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    plain = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield Town(ours, theirs, port, plain, silent.getsockname()[1])
    server.stop(0).wait()


def test_a_good_caller_is_let_in(town: Town) -> None:
    assert town.refusal(town.caller()).reason == "UNIMPLEMENTED"


def test_an_expired_certificate_is_named_with_its_end(town: Town) -> None:
    tls = town.caller(begin=-2, end=-1)
    error = town.refusal(tls)
    end = NOW - dt.timedelta(days=1)
    assert error.message.startswith(
        f"the caller's certificate {tls.cert} expired on {end:%Y-%m-%d %H:%M} UTC; "
    )
    assert (error.code, error.retryable) == ("UNAVAILABLE", False)


def test_a_certificate_of_tomorrow_is_named_with_its_beginning(town: Town) -> None:
    tls = town.caller(begin=1, end=2)
    assert town.refusal(tls).message.startswith(
        f"the caller's certificate {tls.cert} is valid from"
    )


def test_another_authoritys_certificate_is_said_to_be_refused(town: Town) -> None:
    message = town.refusal(town.caller(town.theirs)).message
    assert "does not accept the caller's certificate" in message


def test_another_authoritys_server_is_named_as_such(town: Town) -> None:
    good = town.caller()
    wrong = ClientTls(town.theirs.path, good.cert, good.key)
    assert town.refusal(wrong).message.startswith(
        "the server's certificate is not of the authority"
    )


def test_a_wrong_name_is_named_as_such(town: Town) -> None:
    message = town.refusal(town.caller(), f"127.0.0.1:{town.port}").message
    assert message.startswith("the host of the address is not in the server's certificate")


def test_a_port_without_tls_is_named_as_such(town: Town) -> None:
    message = town.refusal(town.caller(), f"localhost:{town.plain}").message
    assert message.startswith("what listens there does not speak TLS")


def test_a_port_where_nothing_listens_is_named_as_such(town: Town) -> None:
    message = town.refusal(town.caller(), "localhost:1").message
    assert message.startswith("nothing listens there")


def test_an_unknown_host_is_named_as_such(town: Town) -> None:
    message = town.refusal(town.caller(), "nowhere.invalid:50051").message
    assert message.startswith("the host's name is not known")


@pytest.mark.parametrize(
    ("details", "words"),
    [
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
            "Peer name 127.0.0.1 is not in peer certificate",
            "the host of the address is not in the server's certificate",
        ),
        (
            "DNS resolution failed for nowhere.invalid:1: C-ares status is not ARES_SUCCESS "
            "qtype=AAAA name=nowhere.invalid is_balancer=0: Domain name not found",
            "the host's name is not known",
        ),
    ],
)
def test_what_older_grpc_says_is_known_too(details: str, words: str) -> None:
    assert explain_status(grpc.StatusCode.UNAVAILABLE, details) == f"{words} ({details})"


@pytest.mark.parametrize(
    "details",
    [
        "Socket closed",
        "Stream removed (Socket closed)",
        "Connection reset by peer",
        "failed to connect to all addresses; last error: ipv4:127.0.0.1:1: Socket closed",
    ],
)
def test_socket_closed_never_stands_alone(details: str) -> None:
    message = explain_status(grpc.StatusCode.UNAVAILABLE, details)
    assert "caller's certificate" in message
    assert message.endswith(f"({details})")


def test_a_call_that_the_server_ended_says_so() -> None:
    for details in ("", "CANCELLED"):
        assert "took too long to arrive" in explain_status(grpc.StatusCode.CANCELLED, details)


def test_an_address_is_doubted_only_where_nobody_answered(town: Town) -> None:
    good = town.caller()
    answered = [
        (town.caller(begin=-2, end=-1), ""),
        (town.caller(town.theirs), ""),
        (ClientTls(town.theirs.path, good.cert, good.key), ""),
        (good, f"127.0.0.1:{town.port}"),
        (good, f"localhost:{town.plain}"),
    ]
    for tls, address in answered:
        assert "check that it runs" not in describe_failure(town.refusal(tls, address))[0]
    for address in ("localhost:1", "nowhere.invalid:50051"):
        assert "check that it runs" in describe_failure(town.refusal(good, address))[0]


def test_what_is_known_takes_the_place_of_what_may_be(town: Town) -> None:
    message = town.refusal(town.caller(begin=-2, end=-1)).message
    assert "does not accept the caller's certificate" not in message
    assert "too many connections" not in message


def test_a_caller_without_a_certificate_is_not_told_about_it(town: Town, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("a.b.c")
    error = town.refusal(ClientJwt(town.ours.path, token))
    assert "looks like the port for callers with certificates" in error.message
    assert "the caller's certificate" not in error.message
    assert error.retryable


def test_a_token_that_cannot_be_read_is_no_matter_of_the_address() -> None:
    details = "Getting metadata from plugin failed with error: the token's file t cannot be taken"
    told = transport_failure(grpc.StatusCode.UNAVAILABLE, details)
    assert told.contact is Contact.NOT_SENT
    assert told.text == f"the call could not be prepared ({details})"


def test_a_server_that_hangs_is_named_as_such(town: Town) -> None:
    error = town.refusal(town.caller(), f"localhost:{town.silent}")
    assert not error.message.startswith(("failed to connect", "Deadline"))
    begin = "failed to connect to all addresses; last error: INTERNAL: ipv4:127.0.0.1:1: "
    frozen = f"{begin}Handshake read failed (Endpoint closing)"
    told = transport_failure(grpc.StatusCode.UNAVAILABLE, frozen)
    assert told.text == f"something listens there and says nothing: it hangs ({frozen})"
    assert told.contact is Contact.NO_ANSWER
    late = explain_status(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    assert late == "no answer came in time (Deadline Exceeded)"
