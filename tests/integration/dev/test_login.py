"""``tokenvault login`` at the development issuer: a real page, over HTTPS."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import jwt
import pytest

from vault.dev.authority import Authority
from vault.dev.device_logins import Approval, DeviceLogins
from vault.dev.issuer import JwtIssuer, choose_jwt_callers
from vault.dev.issuer_server import CLIENT_ID, IssuerServer
from vault.dev.ports import persistent_port
from vault.policy.reading.load import parse_policy

POLICY = Path(__file__).parents[3] / "deploy/policy.yaml"
TOKENVAULT = Path(sys.executable).parent / "tokenvault"


@dataclass
class Site:
    server: IssuerServer
    ca: Path
    state: Path
    lifetime: int = 3600
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [TOKENVAULT, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.state,
            env={
                "PATH": os.environ["PATH"],
                "XDG_STATE_HOME": str(self.state),
                # Nobody answers there, and a loopback address needs no proxy.
                "https_proxy": "http://127.0.0.1:9",
                "PYTHONUNBUFFERED": "1",
            },
        )
        self.started.append(process)
        return process

    def stop(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()
        self.server.stop()

    def login(self, *arguments: str) -> subprocess.Popen[str]:
        issuer = ("--issuer", self.server.address, "--client-id", CLIENT_ID)
        return self.start("login", *arguments, *issuer, "--issuer-ca", str(self.ca))

    def ask(
        self, method: str, path: str, form: Mapping[str, str] | None = None, host: str = ""
    ) -> tuple[int, str]:
        """A browser's request."""
        context = ssl.create_default_context(cafile=self.ca)
        netloc = urlsplit(self.server.address).netloc
        connection = HTTPSConnection(netloc, context=context, timeout=30)
        try:
            body = urlencode(form) if form is not None else None
            connection.request(method, path, body, {"Host": host or netloc})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def decide(self, code: str, decision: str = "approve", **form: str) -> tuple[int, str]:
        filled = {"person": "ann", "role": "fraud_analyst", **form}
        return self.ask("POST", "/device", {"user_code": code, "decision": decision, **filled})


@pytest.fixture
def site(tmp_path: Path, private_tmp: Path) -> Iterator[Site]:
    authority = Authority(tmp_path / "pki")
    issuer = JwtIssuer(tmp_path / "issuer")
    callers = choose_jwt_callers(parse_policy(POLICY.read_text(), str(POLICY)))
    made: list[Site] = []

    def sign(approval: Approval) -> tuple[str, int]:
        token, _ = issuer.login_token(callers, approval)
        claims = jwt.decode(token, options={"verify_signature": False})
        claims["exp"] = claims["iat"] + made[0].lifetime
        return issuer.sign(claims), made[0].lifetime

    server = IssuerServer(
        persistent_port(tmp_path / "port"),
        authority.issue_server("issuer"),
        tuple(callers.groups),
        sign,
        issuer.jwks_path.read_text(),
        logins=DeviceLogins(),
    )
    server.start()
    state = tmp_path / "state"
    state.mkdir()
    made.append(Site(server, authority.certificate_path, state))
    yield made[0]
    made[0].stop()


def shown(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The address and the code that the command line shows."""
    assert process.stdout
    opened, code = process.stdout.readline(), process.stdout.readline()
    address = re.fullmatch(r"Open (https://127\.0\.0\.1:[0-9]+/device\?user_code=\S+)\n", opened)
    written = re.fullmatch(r"It must show the code ([A-Z]{4}-[A-Z]{4})\n", code)
    assert address, (opened, process.stderr and process.stderr.read())
    assert written
    return address[1], written[1]


def logged_in(site: Site, *arguments: str, **form: str) -> str:
    process = site.login(*arguments)
    _, code = shown(process)
    assert site.decide(code, **form)[0] == 200
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    return out


def test_a_person_agrees_in_a_browser_and_the_token_is_kept(site: Site) -> None:
    process = site.login("lead")
    address, code = shown(process)
    status, page = site.ask("GET", address.removeprefix(site.server.address))
    assert status == 200
    assert f'value="{code}"' in page
    assert "<option>fraud_analyst</option>" in page
    status, page = site.decide(code)
    assert (status, "You are ann, as fraud_analyst" in page) == (200, True)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    files = site.state / "tokenvault" / "logins"
    assert f"--login lead calls with the token in {files}/lead.jwt" in out
    assert {each.stat().st_mode & 0o777 for each in files.iterdir()} == {0o600}
    token = (files / "lead.jwt").read_text().strip()
    assert token not in out
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["iss"] == "https://idp.example.org"
    assert (claims["sub"], claims["groups"]) == ("ann", ["fraud"])
    assert (claims["email"], claims["email_verified"]) == ("ann@idp.example.org", True)
    assert abs(claims["auth_time"] - claims["iat"]) < 100


def test_a_login_that_is_refused_leaves_nothing(site: Site) -> None:
    process = site.login()
    _, code = shown(process)
    assert site.decide(code, "deny")[0] == 200
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (3, "tokenvault: the login was denied\n")
    assert not (site.state / "tokenvault").exists()


def test_the_page_takes_no_other_code_name_or_role(site: Site) -> None:
    process = site.login()
    _, code = shown(process)
    for form in ({"person": "<b>"}, {"role": "root"}, {"person": ""}):
        status, page = site.decide(code, **form)
        assert (status, "Say who you are" in page) == (400, True)
        assert "<b>" not in page
    status, page = site.decide("BBBB-BBBB")
    assert (status, "No login waits for this code" in page) == (400, True)
    # A page elsewhere, under a name that somebody pointed at this machine.
    assert site.ask("GET", "/device", host="evil.example:443")[0] == 421
    assert site.ask("POST", "/token", {"client_id": "other"})[0] == 400
    assert site.ask("GET", "/nothing")[0] == 404
    assert site.decide(code)[0] == 200
    assert process.wait(100) == 0
    process.communicate()


def test_a_token_that_ends_is_renewed_by_the_next_command(site: Site) -> None:
    site.lifetime = 30
    logged_in(site, "ann")
    path = site.state / "tokenvault" / "logins" / "ann.jwt"
    before = path.read_text()
    kept = json.loads(path.with_suffix(".json").read_text())
    site.lifetime = 3600
    address = f"127.0.0.1:{persistent_port(site.state / 'nobody')}"
    tail = ("audit", "tail", "--login", "ann", "--address", address, "--ca", str(site.ca))
    process = site.start(*tail)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, "nothing listens there" in err) == (4, True), err
    assert path.read_text() != before
    again = json.loads(path.with_suffix(".json").read_text())
    assert again["refresh_token"] != kept["refresh_token"]
    # The issuer forgets everybody when it starts again.
    site.lifetime = 30
    path.write_text(before)
    again["refresh_token"] = kept["refresh_token"]
    path.with_suffix(".json").write_text(json.dumps(again))
    process = site.start(*tail)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 3
    assert err == ("tokenvault: the login has ended: invalid_grant; run `tokenvault login ann`\n")


def test_logging_in_again_needs_only_the_name(site: Site) -> None:
    logged_in(site, "ann")
    path = site.state / "tokenvault" / "logins" / "ann.jwt"
    before = path.read_text()
    process = site.start("login", "ann")
    _, code = shown(process)
    site.decide(code, person="bob")
    process.communicate(timeout=100)
    assert process.returncode == 0
    assert path.read_text() != before


def test_an_issuer_that_is_not_trusted_or_away_gets_no_code(site: Site) -> None:
    issuer = ("--issuer", site.server.address, "--client-id", CLIENT_ID)
    other = Authority(site.state / "other").certificate_path
    for ca in ((), ("--issuer-ca", str(other))):
        process = site.start("login", *issuer, *ca)
        _, err = process.communicate(timeout=100)
        assert process.returncode == 2
        assert "is not trusted" in err
        assert "--issuer-ca" in err
    site.server.stop()
    process = site.login()
    _, err = process.communicate(timeout=100)
    assert (process.returncode, "does not answer: Connection refused" in err) == (4, True), err
