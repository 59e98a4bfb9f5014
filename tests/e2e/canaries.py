"""Values that must turn up nowhere, how they could be disguised, and what a refusal says."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import grpc

# Made so that none of them turns up by chance.
GOOD = {
    "card_number": ["4929309216281845", "5545 6340 8546 1876"],
    "us_ssn": ["859-27-1463"],
    "email": ["Canary.Bird+cage@quetzalcoatl-mines.museum"],
    "person_name": ["Quetzalcóatl O'Canary"],
    "national_id": ["CNRY85927X"],
    "account_id": ["85927146385927"],
}
BROKEN = ["4929309216281846", "859-27-146X", "no mail quetzal", "canary\tquetzal", "\u202ecanary"]
SCAN = b"canary scan of a passport, quetzal"


def canaries() -> list[str]:
    """Everything that must not turn up, without the separators that tokens keep too."""
    values = [value for column in GOOD.values() for value in column]
    plain = [value.replace(" ", "").replace("-", "") for value in values]
    return [*values, *plain, *BROKEN, SCAN.decode(), "quetzal", "canary"]


def disguises(secret: bytes) -> Iterator[bytes]:
    """Bytes as a dump, a log or an encoder would write them."""
    yield secret
    yield secret.hex().encode()
    yield base64.b64encode(secret).rstrip(b"=")
    yield base64.urlsafe_b64encode(secret).rstrip(b"=")


def assert_no_canary(seen: bytes, place: str) -> None:
    """Searches a place for every canary in every disguise."""
    assert seen
    lowered = seen.lower()
    for canary in canaries():
        for disguise in disguises(canary.encode()):
            # Not `in` on its own: a failing assertion would print all of it.
            assert lowered.find(disguise.lower()) == -1, f"a canary is in the {place}"


def refusal_of(call: Callable[[], object]) -> str:
    """Everything that a call that must fail returns to a raw caller, the details too."""
    try:
        call()
    except grpc.RpcError as error:
        return f"{error!r} {error.trailing_metadata()!r}"
    raise AssertionError("the call was answered")
