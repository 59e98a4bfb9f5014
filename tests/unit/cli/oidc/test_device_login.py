"""The device authorization grant against an issuer that answers as it is told to."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import pytest

from vault.cli.oidc.device_login import (
    DeviceCode,
    IssuerEndpoints,
    LoginClient,
    Tokens,
    discover,
    log_in,
    renew,
    token_expiry,
)
from vault.cli.oidc.errors import LoginError, LoginFailure
from vault.cli.oidc.https import JsonResponse, NoResponse

URL = "https://idp.example.org"
ISSUER = IssuerEndpoints(f"{URL}/token", f"{URL}/device")
CLIENT = LoginClient("cli")


def jwt(**claims: object) -> str:
    parts = ({"alg": "ES256"}, {"exp": 2_000_000_000, **claims}, "signature")
    written = (json.dumps(each).encode() for each in parts)
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in written)


TOKEN = jwt()
BEGUN = {
    "device_code": "d",
    "user_code": "BCDF-GHJK",
    "verification_uri": f"{URL}/device",
    "expires_in": 60,
}
GIVEN = {"access_token": TOKEN, "token_type": "Bearer", "refresh_token": "r"}

Reply = Mapping[str, object] | Exception


def pending(error: str = "authorization_pending") -> Reply:
    return {"error": error}


@dataclass
class Scripted:
    """Answers in order; an ``error`` has the status 400. Its clock goes by what is waited."""

    replies: list[Reply]
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def get(self, url: str) -> JsonResponse:
        return self.post(url, {})

    def post(self, url: str, form: Mapping[str, str]) -> JsonResponse:
        self.asked.append((url, form))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return JsonResponse(400 if "error" in reply else 200, reply)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def run(
    replies: Sequence[Reply], client: LoginClient = CLIENT, /, **begun: object
) -> tuple[Tokens, Scripted, list[DeviceCode]]:
    transport = Scripted([{**BEGUN, **begun}, *replies])
    shown: list[DeviceCode] = []
    clock = lambda: transport.now  # noqa: E731
    tokens = log_in(transport, ISSUER, client, shown.append, sleep=transport.sleep, clock=clock)
    return tokens, transport, shown


def failure(
    replies: Sequence[Reply], begun: Mapping[str, object] = MappingProxyType({})
) -> LoginError:
    with pytest.raises(LoginError) as caught:
        run(replies, CLIENT, **begun)
    return caught.value


def test_a_login_waits_until_the_person_agrees() -> None:
    tokens, transport, shown = run([pending(), pending(), GIVEN])
    assert tokens == Tokens(TOKEN, "r")
    assert shown == [DeviceCode("BCDF-GHJK", f"{URL}/device", "")]
    assert transport.waits == [5, 5, 5]  # RFC 8628: five seconds where nothing is said
    (asked, form), *polls = transport.asked
    assert (asked, form) == (f"{URL}/device", {"client_id": "cli", "scope": "openid"})
    assert polls[0] == (
        f"{URL}/token",
        {
            "client_id": "cli",
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": "d",
        },
    )


def test_the_issuers_interval_counts_and_slow_down_adds_five_seconds() -> None:
    _, transport, _ = run([pending(), pending("slow_down"), pending(), GIVEN], interval=2)
    assert transport.waits == [2, 2, 7, 7]


def test_an_issuer_that_is_away_is_asked_less_often() -> None:
    _, transport, _ = run([NoResponse("away"), NoResponse("away"), GIVEN], interval=1)
    assert transport.waits == [1, 2, 4]


def test_nobody_waits_longer_than_the_code_is_good() -> None:
    error = failure([pending()] * 20, {"expires_in": 12})
    assert error.failure is LoginFailure.REFUSED
    assert "nobody approved the login in time" in error.message


@pytest.mark.parametrize("expires", [None, "60", -1, True, float("nan"), float("inf"), 1e12])
def test_a_lifetime_that_is_none_is_ten_minutes(expires: object) -> None:
    transport = Scripted([{**BEGUN, "expires_in": expires}, *[pending()] * 1000])
    with pytest.raises(LoginError):
        log_in(
            transport, ISSUER, CLIENT, lambda _: None,
            sleep=transport.sleep, clock=lambda: transport.now,
        )  # fmt: skip
    assert 590 <= transport.now <= 600


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("access_denied", "the login was denied"),
        ("expired_token", "nobody approved the login in time"),
        ("invalid_client", "the login failed: invalid_client"),
    ],
)
def test_a_refusal_ends_it(error: str, told: str) -> None:
    found = failure([pending(), pending(error)])
    assert (found.failure, found.message) == (LoginFailure.REFUSED, found.message)
    assert told in found.message


def test_what_the_issuer_says_about_a_refusal_is_told_in_part() -> None:
    found = failure([{"error": "invalid_client", "error_description": "AADSTS7000218" * 100}])
    assert found.message.startswith("the login failed: invalid_client: AADSTS7000218")
    assert len(found.message) < 300


def test_an_address_with_the_code_in_it_is_shown() -> None:
    complete = f"{URL}/device?user_code=BCDF-GHJK"
    _, _, (shown,) = run([GIVEN], verification_uri_complete=complete)
    assert shown.complete == complete
    _, _, (shown,) = run([GIVEN], verification_uri_complete="javascript:alert(1)")
    assert shown.complete == ""


def test_google_calls_the_address_a_url() -> None:
    _, _, (shown,) = run([GIVEN], verification_uri=None, verification_url=f"{URL}/code")
    assert shown.address == f"{URL}/code"


@pytest.mark.parametrize(
    "begun",
    [
        {"user_code": None},
        {"device_code": ""},
        {"verification_uri": None},
        {"verification_uri": "http://idp.example.org/device"},
        {"verification_uri": "https://ann:secret@idp.example.org/"},
        {"verification_uri": ["https://idp.example.org"]},
    ],
)
def test_an_answer_without_a_code_or_a_safe_address_is_none(begun: dict[str, object]) -> None:
    assert "no code or address" in failure([GIVEN], begun).message


@pytest.mark.parametrize(
    "given",
    [
        {**GIVEN, "access_token": "opaque"},
        {**GIVEN, "access_token": None},
        {**GIVEN, "access_token": jwt(exp="soon")},
        {**GIVEN, "access_token": f"{TOKEN}\n"},
        {**GIVEN, "access_token": jwt(more="x" * 8192)},
        {**GIVEN, "token_type": "DPoP"},
        {"id_token": TOKEN},
    ],
)
def test_a_token_that_the_service_could_not_take_is_refused(given: dict[str, object]) -> None:
    found = failure([given])
    assert found.failure is LoginFailure.USAGE
    assert "opaque" not in found.message
    assert "eyJ" not in found.message


def test_the_id_token_is_taken_where_it_is_asked_for() -> None:
    other = jwt(aud="cli")
    tokens, _, _ = run([{**GIVEN, "id_token": other}], LoginClient("cli", id_token=True))
    assert tokens.token == other


def test_a_client_with_a_secret_and_an_audience_sends_them() -> None:
    client = LoginClient("cli", "hush", "openid email", "tokenvault")
    _, transport, _ = run([GIVEN], client)
    assert transport.asked[0][1] == {
        "client_id": "cli",
        "client_secret": "hush",
        "scope": "openid email",
        "audience": "tokenvault",
    }
    assert transport.asked[1][1]["client_secret"] == "hush"
    assert "hush" not in repr(client)


def test_tokens_are_in_no_repr() -> None:
    assert repr(Tokens(TOKEN, "r-secret")) == "Tokens()"


def test_a_token_is_renewed_and_the_refresh_token_may_stay() -> None:
    newer = jwt(jti="2")
    transport = Scripted([{"access_token": newer, "token_type": "bearer"}])
    assert renew(transport, ISSUER.token_endpoint, CLIENT, "r") == Tokens(newer, "r")
    assert transport.asked[0][1] == {
        "client_id": "cli",
        "grant_type": "refresh_token",
        "refresh_token": "r",
    }
    rotated = Scripted([{"access_token": newer, "refresh_token": "r2"}])
    assert renew(rotated, ISSUER.token_endpoint, CLIENT, "r").refresh_token == "r2"


def test_a_refresh_token_goes_nowhere_but_over_tls() -> None:
    transport = Scripted([])
    with pytest.raises(LoginError, match="not https"):
        renew(transport, "http://idp.example.org/token", CLIENT, "r")
    assert transport.asked == []


PUBLISHED = {
    "issuer": URL,
    "token_endpoint": f"{URL}/token",
    "device_authorization_endpoint": f"{URL}/device",
}


@pytest.mark.parametrize("name", [URL, f"{URL}/", f"{URL}/realms/staff"])
def test_an_issuer_says_where_its_endpoints_are(name: str) -> None:
    transport = Scripted([{**PUBLISHED, "issuer": name}])
    assert discover(transport, name) == ISSUER
    (asked, _) = transport.asked[0]
    assert asked == f"{name.rstrip('/')}/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"issuer": f"{URL}/"}, "the issuer calls itself https://idp.example.org/: write it so"),
        ({"issuer": None}, "calls itself nothing"),
        ({"device_authorization_endpoint": None}, "offers no device login"),
        ({"token_endpoint": "http://idp.example.org/token"}, "not https"),
        ({"token_endpoint": None}, "not https"),
        ({"device_authorization_endpoint": "ftp://idp.example.org"}, "not https"),
        ({"error": "x"}, "publishes no OpenID configuration"),
    ],
)
def test_an_issuer_that_is_another_or_unsafe_is_refused(
    changes: dict[str, object], told: str
) -> None:
    with pytest.raises(LoginError, match=told):
        discover(Scripted([{**PUBLISHED, **changes}]), URL)


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "..", "a.e30.c", "a.W10.c", TOKEN + "."])
def test_what_is_no_jwt_has_no_end(text: str) -> None:
    assert token_expiry(text) is None
    assert token_expiry(TOKEN) == 2_000_000_000
