"""Settings: what is read, and how mistakes are told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from vault.config import load_settings, parse_duration
from vault.errors import ConfigError
from vault.model import NoticeType

STORE = 'region = "r"\ncredentials_file = "c"\n'
MINIMAL = """
[server]
cert = "tls/server.pem"
key = "/etc/tokenvault/server.key"
client_ca = "tls/ca.pem"
trust_domain = "example.org"
[database]
url = "postgresql://tokenvault@localhost/tokenvault"
[keys]
address = "https://127.0.0.1:8200/"
[keys.auth]
method = "token"
token_file = "token"
[policy]
path = "policy.yaml"
"""


def settings_file(directory: Path, text: str = MINIMAL) -> Path:
    path = directory / "server.toml"
    path.write_text(text)
    return path


def test_paths_start_at_the_file_and_defaults_fill_the_rest(tmp_path: Path) -> None:
    settings = load_settings(settings_file(tmp_path))
    assert settings.server.cert == tmp_path / "tls/server.pem"
    assert settings.server.key == Path("/etc/tokenvault/server.key")
    assert settings.server.max_batch == 10_000
    assert settings.server.drain == timedelta(seconds=20)
    assert settings.keys.address == "https://127.0.0.1:8200"
    assert settings.audit.replica is None


def test_the_sample_file_is_valid() -> None:
    sample = Path(__file__).parents[3] / "deploy/server.toml"
    assert load_settings(sample).server.trust_domain == "example.org"


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("5m", 300), ("1h", 3600), ("2d", 172800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["10", "s", "1 h", "-1s", "1w", "1.5s", 10, None, "1h30m"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    "hosts", ["db1:5432,db2:5433", "a,b,c", "[::1]:1,b:2", "a,b/t?target_session_attrs=primary"]
)
def test_several_hosts_of_the_database(tmp_path: Path, hosts: str) -> None:
    text = MINIMAL.replace("localhost/tokenvault", hosts)
    assert load_settings(settings_file(tmp_path, text)).database.url.endswith(hosts)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('trust_domain = "example.org"', "", "server.trust_domain: is missing"),
        ("[policy]", "prt = 1\n[policy]", "keys.auth.prt: unknown key"),
        ('client_ca = "', 'client_caa = "', "did you mean client_ca?"),
        ("[policy]", "[polcy]\n[policy]", "did you mean policy?"),
        ('"example.org"', '"spiffe://example.org"', "server.trust_domain: write the bare name"),
        ("https://127", "http://127", "keys.address: write an https:// address"),
        ("tokenvault@", "tokenvault:hunter2@", "database.url: leave the password out"),
        ('/tokenvault"', '/t?password=hunter2"', "database.url: leave the password out"),
        ("postgresql:", "mysql:", "database.url: write postgresql://"),
        ("@localhost/", "@a:1,b:x/", "database.url: write several hosts as host:port,host:port"),
        ("@localhost/", "@a:1,/", "database.url: write several hosts as host:port,host:port"),
        ("@localhost/", ":hunter2@a:1,b:2/", "database.url: leave the password out"),
        (
            '@localhost/tokenvault"',
            '@a,b/t?target_session_attrs=any"',
            "leave target_session_attrs",
        ),
        ('"token"\ntoken_file = "token"', '"token"', "keys.auth: method token needs token_file"),
        ('method = "token"', 'method = "approle"', "needs role_id_file and secret_id_file"),
        ("[database]", "port = 70000\n[database]", "server.port: "),
        ("[database]", 'drain = "0s"\n[database]', "server.drain: must be longer than zero"),
        ("[database]", "drain = 10\n[database]", 'write a number and a unit, such as "10s"'),
        ("[database]", "port = 50052\n[database]", "server: port, health_port and metrics_port"),
        ("[database]", "max_workers = 129\n[database]", "max_concurrent_rpcs must be at least"),
        (
            "[database]",
            "max_concurrent_per_principal = 129\n[database]",
            "max_concurrent_per_principal must be at most",
        ),
        (
            "[database]",
            "max_connections_per_address = 1001\n[database]",
            "max_connections_per_address must be at most",
        ),
        ("[database]", "max_workers = true\n[database]", "server.max_workers: "),
        ("[policy]", '[audit]\nretention = "29d"\n[policy]', "audit: retention is 30 days"),
        (
            "[policy]",
            '[[audit.witnesses]]\nurl = "https://w"\npublic_key = "k"\n[policy]',
            "audit: witnesses cosign what is published",
        ),
        *(
            (
                "[policy]",
                f'[audit.object_store]\nurl = "{url}"\n{STORE}[policy]',
                message,
            )
            for url, message in (
                ("http://s3.example.org/logs", "http:// is for this machine alone"),
                ("https://key:hunter2@s3.example.org/logs", "an address of plain names"),
                ("https://s3.example.org/a b", "an address of plain names"),
                ("https://s3.example.org/logs?x=1", "an address of plain names"),
                ("s3://logs", "an address of plain names"),
                ("ftp://logs", "write an https:// address"),
            )
        ),
        (
            "[policy]",
            '[[audit.witnesses]]\nurl = "http://w"\npublic_key = "k"\n[policy]',
            "write an https:// address",
        ),
        ("[server]", "[server", "is not TOML"),
    ],
)
def test_a_mistake_names_key_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = MINIMAL.replace(old, new, 1)
    with pytest.raises(ConfigError) as caught:
        load_settings(settings_file(tmp_path, text))
    assert message in caught.value.message
    assert "hunter2" not in str(caught.value)


JWT = """
[jwt]
[[jwt.issuers]]
issuer = "https://idp.example.org"
audience = "tokenvault"
algorithms = ["ES256"]
jwks_file = "jwks.json"
"""


def test_there_is_no_jwt_listener_unless_one_is_named(tmp_path: Path) -> None:
    assert load_settings(settings_file(tmp_path)).jwt is None
    jwt = load_settings(settings_file(tmp_path, MINIMAL + JWT)).jwt
    assert jwt is not None
    (issuer,) = jwt.issuers
    assert issuer.jwks_file == tmp_path / "jwks.json"
    assert issuer.algorithms == ("ES256",)
    assert issuer.leeway <= timedelta(minutes=1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"ES256"', '"HS256"', "jwt.issuers.0.algorithms.0: Input should be 'RS256'"),
        ('"ES256"', '"none"', "jwt.issuers.0.algorithms.0: Input should be 'RS256'"),
        ('["ES256"]', "[]", "jwt.issuers.0.algorithms: name at least one"),
        ('["ES256"]', '["ES256"]\nleeway = "61s"', "jwt.issuers.0.leeway: must be at most 60s"),
        ("https://idp", "http://idp", "jwt.issuers.0.issuer: write an https:// address"),
        ("https://idp", "https://u:hunter2@idp", "jwt.issuers.0.issuer: write an https:// address"),
        ('audience = "tokenvault"', "", "jwt.issuers.0.audience: is missing"),
        ('jwks_file = "jwks.json"', "", "jwt.issuers.0: needs either jwks_file or jwks_url"),
        ("jwks_file", 'jwks_url = "https://a"\njwks_file', "needs either jwks_file or jwks_url"),
        ('jwks_file = "jwks.json"', 'jwks_url = "http://a"', "jwks_url: write an https://"),
        ("jwks_file", 'jwks_ca = "ca.pem"\njwks_file', "jwks_ca is for jwks_url"),
        ("jwks_file", "jwks_fil", "jwt.issuers.0.jwks_fil: unknown key; did you mean jwks_file?"),
        ("[jwt]", "[jwt]\nport = 50051", "jwt.port must differ"),
        ("[jwt]", "[jwt]\nport = 9464", "jwt.port must differ"),
        ("[jwt]", "[jwt]\nprt = 1", "jwt.prt: unknown key; did you mean port?"),
        ("[[jwt.issuers]]", "issuers = []\n[other]", "jwt.issuers: name at least one"),
        (JWT, JWT + JWT.replace("[jwt]", ""), "the same issuer is here twice"),
    ],
)
def test_a_mistake_about_jwt_names_key_and_remedy(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(settings_file(tmp_path, MINIMAL + JWT.replace(old, new, 1)))
    assert message in caught.value.message
    assert "hunter2" not in str(caught.value)


ISSUER = JWT.replace("[jwt]", "")


@pytest.mark.parametrize(
    "spelling",
    [
        "https://idp.example.org/",
        "https://IDP.example.org",
        "https://idp.example.org:443",
        "https://idp.example.org.",
    ],
)
def test_one_issuer_cannot_be_two_by_its_spelling(tmp_path: Path, spelling: str) -> None:
    again = ISSUER.replace("https://idp.example.org", spelling)
    with pytest.raises(ConfigError, match="spelled in two ways"):
        load_settings(settings_file(tmp_path, MINIMAL + JWT + again))


@pytest.mark.parametrize(
    "other", ["https://idp.example.org/two", "https://idp.example.org:8443", "https://idp2"]
)
def test_other_issuers_are_others(tmp_path: Path, other: str) -> None:
    again = ISSUER.replace("https://idp.example.org", other)
    jwt = load_settings(settings_file(tmp_path, MINIMAL + JWT + again)).jwt
    assert jwt is not None
    assert len(jwt.issuers) == 2


def test_the_samples_jwt_section_is_valid_once_it_is_one(tmp_path: Path) -> None:
    sample = (Path(__file__).parents[3] / "deploy/server.toml").read_text()
    head, section = sample.split("# [jwt]\n")
    lines = section.split("\n\n")[0].splitlines()
    written = [line.removeprefix("# ") for line in lines if "jwks_file" not in line]
    text = f"{MINIMAL}[jwt]\n" + "\n".join(written)
    jwt = load_settings(settings_file(tmp_path, text)).jwt
    assert head
    assert jwt is not None
    assert jwt.issuers[0].jwks_url == "https://idp.example.org/jwks.json"


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(settings_file(tmp_path, "[server]\n[keys]\n"))
    told = caught.value.message
    assert all(key in told for key in ("server.cert", "keys.address", "database", "policy"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_settings(tmp_path / "none.toml")


WEBHOOKS = """
[webhooks]
[[webhooks.endpoints]]
name = "approvers"
url = "https://hooks.example.org/tokenvault"
secret_file = "secret"
"""


def test_a_webhook_is_sent_every_notice_by_default(tmp_path: Path) -> None:
    webhooks = load_settings(settings_file(tmp_path, MINIMAL + WEBHOOKS)).webhooks
    assert webhooks is not None
    assert webhooks.source == "/tokenvault"
    assert webhooks.max_age == timedelta(days=3)
    (endpoint,) = webhooks.endpoints
    assert endpoint.events == tuple(NoticeType)
    assert endpoint.secret_file == tmp_path / "secret"
    some = WEBHOOKS + 'events = ["tokenvault.reveal.requested"]\n'
    webhooks = load_settings(settings_file(tmp_path, MINIMAL + some)).webhooks
    assert webhooks is not None
    assert webhooks.endpoints[0].events == (NoticeType.REVEAL_REQUESTED,)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/hook", "http://[::1]/hook", "http://localhost:8080"]
)
def test_a_webhook_on_this_machine_needs_no_tls(tmp_path: Path, url: str) -> None:
    text = WEBHOOKS.replace("https://hooks.example.org/tokenvault", url)
    webhooks = load_settings(settings_file(tmp_path, MINIMAL + text)).webhooks
    assert webhooks is not None
    assert webhooks.endpoints[0].url == url


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("https://hooks.example.org/", "http://hooks.example.org/", "https:// address"),
        ("https://hooks.example.org/", "http://127.0.0.1.example.org/", "https:// address"),
        ("https://hooks.example.org/", "https://user:word@hooks.example.org/", "without a user"),
        ("https://hooks.example.org/", "ftp://127.0.0.1/", "https:// address"),
        ("https://hooks.example.org/", "https:///", "https:// address"),
        ('name = "approvers"', 'name = "An Endpoint"', "endpoints"),
        ('secret_file = "secret"', "", "secret_file"),
        ('secret_file = "secret"', 'secret_file = "secret"\nevents = []', "at least one"),
        ('secret_file = "secret"', 'secret_file = "secret"\nevents = ["reveal"]', "events"),
        ('secret_file = "secret"', 'secret_file = "secret"\ntimeout = "31s"', "at most 30s"),
        ("[[webhooks.endpoints]]", "endpoints = []\n[extra]", "at least one"),
    ],
)
def test_what_is_no_webhook_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in WEBHOOKS
    with pytest.raises(ConfigError, match=message):
        load_settings(settings_file(tmp_path, MINIMAL + WEBHOOKS.replace(old, new)))


def test_two_webhooks_have_two_names(tmp_path: Path) -> None:
    twice = WEBHOOKS + WEBHOOKS.partition("[webhooks]")[2]
    with pytest.raises(ConfigError, match="two have one name"):
        load_settings(settings_file(tmp_path, MINIMAL + twice))
