"""Data keys wrapped by a Transit key of HashiCorp Vault or OpenBao."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from vault.config import KeysSettings
from vault.errors import ConfigError, KeysUnavailable
from vault.keys.connection import KeyServerConnection, KeyServerError, KeyServerFault, check_name
from vault.keys.login import Login
from vault.keys.login_methods import choose_method
from vault.keys.unwrap_failures import UnwrapFailed, UnwrapFault

__all__ = ["HashicorpKeyWrapper", "KeyServerStatus"]

T = TypeVar("T")

# A listener refuses more than 1,000 JSON strings a request, keys included: an item has four.
_BATCH = 240
_BITS = 256
# The request was understood and a ciphertext does not open.
_WHY: Mapping[KeyServerFault, UnwrapFault] = {
    KeyServerFault.INVALID: UnwrapFault.FOREIGN,
    KeyServerFault.TOO_NEW: UnwrapFault.TOO_NEW,
    KeyServerFault.TOO_OLD: UnwrapFault.TOO_OLD,
}
_WRAPPED = re.compile(r"vault:v[1-9][0-9]{0,9}:[A-Za-z0-9+/=]{1,1000}")


class KeyServerStatus(NamedTuple):
    """The state of the key server and of the login to it.

    Attributes:
        ready: the last request and the check of the login succeeded.
        message: what is wrong, empty when ready.
        login_seconds: for how long the login is valid; infinite for one without an end.
    """

    ready: bool
    message: str
    login_seconds: float


class HashicorpKeyWrapper:
    """``KeyWrapper`` over Transit: the key must be ``aes256-gcm96`` and derived.

    The derivation context binds a data key to its tenant, field, purpose and version.
    """

    def __init__(
        self,
        settings: KeysSettings,
        *,
        refuse_root: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects nothing yet; the first request logs in. Raises ConfigError for a bad name."""
        for key, name in (
            ("keys.transit_mount", settings.transit_mount),
            ("keys.key_name", settings.key_name),
            ("keys.auth.mount", settings.auth.mount or settings.auth.method),
        ):
            check_name(key, name)
        self._connection = KeyServerConnection(
            settings.address,
            ca=settings.ca,
            timeout=settings.timeout,
            namespace=settings.namespace,
        )
        method = choose_method(settings.auth)
        self._login = Login(self._connection, method, refuse_root=refuse_root, clock=clock)
        self._datakey = f"{settings.transit_mount}/datakey/wrapped/{settings.key_name}"
        self._decrypt = f"{settings.transit_mount}/decrypt/{settings.key_name}"
        self._problem = "not asked yet"
        self._derived = False

    def log_in(self) -> None:
        """Logs in now. Raises KeysUnavailable, or ConfigError for a root token or a secret file."""
        self._login.ensure()

    def generate(self, contexts: Sequence[bytes]) -> Sequence[str]:
        """Makes one 256-bit data key per derivation context; returns them wrapped.

        Raises KeysUnavailable.
        """
        return [self._generate(context) for context in contexts]

    def unwrap(self, items: Sequence[tuple[bytes, str]]) -> Sequence[bytes]:
        """Opens (context, wrapped) pairs, in order. Raises KeysUnavailable, or its UnwrapFailed."""
        if items and not self._derived:
            self._check_derived(*items[0])
        opened: list[bytes] = []
        for start in range(0, len(items), _BATCH):
            opened += self._unwrap(items, start)
        return opened

    def status(self) -> KeyServerStatus:
        """Returns how the last request went, and whether the login is accepted: asks now.

        Takes at most the timeout of some requests; a revoked login is replaced.
        """
        problem = self._problem or self._ping()
        left = self._login.remaining()
        return KeyServerStatus(
            not problem and left > 0, problem or ("" if left > 0 else "the login has ended"), left
        )

    def close(self) -> None:
        """Stops renewing the login."""
        self._login.close()
        self._connection.close()

    def _ping(self) -> str:
        # Between two refreshes of the keys nothing else asks the key server anything.
        try:
            self._with_login(lambda: self._connection.read("auth/token/lookup-self"))
        except (ConfigError, KeysUnavailable) as error:
            return error.message
        return ""

    def _generate(self, context: bytes) -> str:
        answer = self._ask(self._datakey, {"context": _encode(context), "bits": _BITS})
        data = answer.get("data")
        wrapped = data.get("ciphertext") if isinstance(data, dict) else None
        if not isinstance(wrapped, str) or not _WRAPPED.fullmatch(wrapped):
            raise KeyServerError(KeyServerFault.UNEXPECTED)
        return wrapped

    def _unwrap(self, every: Sequence[tuple[bytes, str]], start: int) -> list[bytes]:
        items = every[start : start + _BATCH]
        batch = [{"context": _encode(context), "ciphertext": text} for context, text in items]
        try:
            answer = self._ask(self._decrypt, {"batch_input": batch})
        except KeyServerError as error:
            if error.fault not in _WHY:
                raise
            whole = _WHY[error.fault]
        else:
            return self._opened(answer, len(items))
        why = {start + at: found for at, item in enumerate(items) if (found := self._why(*item))}
        unopened = UnwrapFailed(why or {start: whole})
        self._problem = unopened.message
        raise unopened

    def _why(self, context: bytes, wrapped: str) -> UnwrapFault | None:
        """Asks for one key alone, which of a batch's did not open: it does not say itself."""
        try:
            self._ask(self._decrypt, {"context": _encode(context), "ciphertext": wrapped})
        except KeyServerError as error:
            if error.fault not in _WHY:
                raise
            return _WHY[error.fault]
        return None

    def _opened(self, answer: Mapping[str, object], count: int) -> list[bytes]:
        data = answer.get("data")
        results = data.get("batch_results") if isinstance(data, dict) else None
        if not isinstance(results, list) or len(results) != count:
            raise KeyServerError(KeyServerFault.UNEXPECTED)
        return [_plaintext(result) for result in results]

    def _check_derived(self, context: bytes, wrapped: str) -> None:
        """Refuses a Transit key that is not derived: it would ignore every context."""
        wrong = {"context": _encode(context + b"\0"), "ciphertext": wrapped}
        try:
            self._ask(self._decrypt, {"batch_input": [wrong]})
        except KeyServerError as error:
            if error.fault not in _WHY:
                raise
        else:
            self._problem = "key server: the Transit key is not derived; make one with derived=true"
            raise KeysUnavailable(self._problem)
        self._derived = True

    def _ask(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        try:
            answer = self._with_login(lambda: self._connection.write(path, body))
        except ConfigError as error:
            # A secret file was removed or a login turned root while serving.
            self._problem = error.message
            raise KeysUnavailable(error.message) from None
        except KeysUnavailable as error:
            self._problem = error.message
            raise
        self._problem = ""
        return answer

    def _with_login(self, request: Callable[[], T]) -> T:
        self._login.ensure()
        try:
            return request()
        except KeyServerError as error:
            if error.fault is not KeyServerFault.FORBIDDEN:
                raise
        # The token may have been revoked, or the server restored: one fresh login.
        self._login.log_in_again()
        return request()


def _encode(context: bytes) -> str:
    return base64.b64encode(context).decode("ascii")


def _plaintext(result: object) -> bytes:
    text = result.get("plaintext") if isinstance(result, dict) else None
    if not isinstance(text, str):
        raise KeyServerError(KeyServerFault.UNEXPECTED)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise KeyServerError(KeyServerFault.UNEXPECTED) from None
