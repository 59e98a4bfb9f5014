"""The device authorization grant: a code on the terminal, a yes in a browser, then a token.

Source: RFC 8628; OpenID Connect Discovery 1.0, section 4; RFC 6749, sections 5 and 6. The
token is for Tokenvault to verify: here it is carried, and only its end is read from it.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vault.cli.oidc.errors import LoginError, LoginFailure
from vault.cli.oidc.https import JsonResponse, NoResponse, Transport, is_https

__all__ = [
    "DeviceCode",
    "IssuerEndpoints",
    "LoginClient",
    "Tokens",
    "discover",
    "log_in",
    "renew",
    "token_expiry",
]

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL = 5.0  # RFC 8628, section 3.2: where the issuer names none
_SLOWER = 5.0  # section 3.5: by so much on every slow_down
_LONGEST_INTERVAL = 60.0
_LIFETIME = 600.0
_JWT = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+", re.ASCII)
_MAX_TOKEN = 8192  # what the service reads


@dataclass(frozen=True, slots=True)
class LoginClient:
    """As what the command line is known to an issuer, and what it asks for.

    Attributes:
        secret: of a client that the issuer gives one, as Google does; or empty.
        audience: asked for by name, as Auth0 needs it; or empty.
        id_token: take the ID token: of issuers whose access tokens are no JWTs.
    """

    client_id: str
    secret: str = field(default="", repr=False)
    scope: str = "openid"
    audience: str = ""
    id_token: bool = False

    def form(self, **more: str) -> Mapping[str, str]:
        """Returns the fields of every request, and more."""
        secret = {"client_secret": self.secret} if self.secret else {}
        return {"client_id": self.client_id, **secret, **more}


@dataclass(frozen=True, slots=True)
class IssuerEndpoints:
    """The addresses that an issuer publishes."""

    token_endpoint: str
    device_endpoint: str


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What to show: where to go, and the code to enter or to compare there.

    Attributes:
        complete: the same address with the code in it, or empty.
    """

    user_code: str
    address: str
    complete: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login comes to.

    Attributes:
        token: the JWT for Tokenvault.
        refresh_token: what it can be renewed by, or empty.
    """

    token: str = field(repr=False)
    refresh_token: str = field(repr=False)


def discover(transport: Transport, issuer: str) -> IssuerEndpoints:
    """Reads what an issuer publishes about itself. Raises LoginError."""
    answer = transport.get(issuer.removesuffix("/") + "/.well-known/openid-configuration")
    if not answer.ok:
        raise LoginError(
            LoginFailure.USAGE,
            f"{issuer} publishes no OpenID configuration (it answered {answer.status})",
        )
    named = answer.text("issuer")
    if named != issuer:
        # Or the settings of one issuer could send codes and tokens to another.
        raise LoginError(
            LoginFailure.USAGE, f"the issuer calls itself {named or 'nothing'}: write it so"
        )
    device = answer.text("device_authorization_endpoint")
    if not device:
        raise LoginError(LoginFailure.USAGE, f"{issuer} offers no device login (RFC 8628)")
    return IssuerEndpoints(_https(answer.text("token_endpoint")), _https(device))


def _https(url: str) -> str:
    if not is_https(url):
        raise LoginError(LoginFailure.USAGE, "the issuer names an endpoint that is not https://")
    return url


def log_in(
    transport: Transport,
    issuer: IssuerEndpoints,
    client: LoginClient,
    show: Callable[[DeviceCode], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Tokens:
    """Asks for a code, shows it, and waits until the person has decided. Raises LoginError."""
    audience = {"audience": client.audience} if client.audience else {}
    begun = clock()
    asked = transport.post(issuer.device_endpoint, client.form(scope=client.scope, **audience))
    if not asked.ok:
        raise _refusal(asked, "the issuer begins no login")
    device_code = asked.text("device_code")
    show(_device_code(asked))
    end = begun + asked.seconds("expires_in", _LIFETIME)
    interval = asked.seconds("interval", _INTERVAL)
    form = client.form(grant_type=_DEVICE_GRANT, device_code=device_code)
    while clock() + interval < end:
        sleep(interval)
        try:
            answer = transport.post(issuer.token_endpoint, form)
        except NoResponse:
            # Section 3.5: ask less often, and go on.
            interval = min(2 * interval, _LONGEST_INTERVAL)
            continue
        if answer.ok:
            return _tokens(answer, client, "")
        error = answer.text("error")
        if error == "slow_down":
            interval = min(interval + _SLOWER, _LONGEST_INTERVAL)
        elif error != "authorization_pending":
            raise _refusal(answer, "the login failed")
    raise _EXPIRED


_EXPIRED = LoginError(LoginFailure.REFUSED, "nobody approved the login in time: start again")


def _device_code(answer: JsonResponse) -> DeviceCode:
    code, address = answer.text("user_code"), answer.text("verification_uri")
    address = address or answer.text("verification_url")  # Google's name for it
    if not (code and answer.text("device_code") and is_https(address)):
        raise LoginError(LoginFailure.UNAVAILABLE, "the issuer's answer has no code or address")
    complete = answer.text("verification_uri_complete")
    return DeviceCode(code, address, complete if is_https(complete) else "")


def renew(
    transport: Transport, token_endpoint: str, client: LoginClient, refresh_token: str
) -> Tokens:
    """Exchanges a refresh token for new tokens. Raises LoginError."""
    form = client.form(grant_type="refresh_token", refresh_token=refresh_token)
    answer = transport.post(_https(token_endpoint), form)
    if not answer.ok:
        raise _refusal(answer, "the login has ended")
    return _tokens(answer, client, refresh_token)


def _refusal(answer: JsonResponse, what: str) -> LoginError:
    match answer.text("error"):
        case "access_denied":
            return LoginError(LoginFailure.REFUSED, "the login was denied")
        case "expired_token":
            return _EXPIRED
        case "":
            return NoResponse(f"{what}: the issuer answered {answer.status}")
        case error:
            said = answer.text("error_description")[:200]
            about = f"{error}: {said}" if said else error
            return LoginError(LoginFailure.REFUSED, f"{what}: {about}")


def _tokens(answer: JsonResponse, client: LoginClient, refresh_token: str) -> Tokens:
    if client.id_token:
        name, remedy = "ID token", "ask for the scope openid"
    else:
        name = "access token"
        remedy = "name an --audience, or take the ID token (--id-token) where the issuer has none"
        if answer.text("token_type").lower() not in ("bearer", ""):
            raise LoginError(LoginFailure.USAGE, "the issuer's tokens are no bearer tokens")
    token = answer.text(name.replace(" ", "_").lower())
    if token_expiry(token) is None:
        raise LoginError(LoginFailure.USAGE, f"the issuer's {name} is no JWT: {remedy}")
    return Tokens(token, answer.text("refresh_token") or refresh_token)


def token_expiry(token: str) -> float | None:
    """Returns when a JWT ends by its own word, in seconds since the epoch; None for no JWT."""
    match = _JWT.fullmatch(token) if len(token) < _MAX_TOKEN else None
    if match is None:
        return None
    payload = match[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    end = claims.get("exp") if isinstance(claims, dict) else None
    return float(end) if isinstance(end, int | float) and 0 < end < 1e11 else None
