"""How a service's policy stands, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from vault.v1.policy_service_pb2 import GetPolicyResponse, PolicyFile

__all__ = ["compared", "standing"]

_WORDS = {
    "REFUSED": "is refused",
    "WAITING": "waits for other servers",
    "DELAYED": "is not taken up yet",
}


def standing(answer: GetPolicyResponse) -> Iterator[str]:
    """Yields which policy is in force, on which servers, and what became of the file."""
    yield f"policy {_shown(answer.digest)}"
    if answer.HasField("effective_time"):
        yield f"in force since {_moment(answer.effective_time)}"
    serving = [each.name for each in answer.servers if each.digest == answer.digest]
    if serving:
        yield f"servers that have it: {_shown(', '.join(serving))}"
    for each in answer.servers:
        if each.digest != answer.digest:
            yield f"server {_shown(each.name)} has read another: {_shown(each.digest)}"
    if answer.file.state == "IN_FORCE":
        yield "the file of the server that answered is in force"
    elif answer.file.state:
        yield from _difference(answer.file)


def compared(digest: str, answer: GetPolicyResponse) -> tuple[bool, list[str]]:
    """Tells whether the service has a policy in force, and says what became of it there."""
    since = f" since {_moment(answer.effective_time)}" if answer.HasField("effective_time") else ""
    if digest == answer.digest:
        return True, [f"the service has it in force{since}"]
    lines = [f"the service does not have it in force, but {_shown(answer.digest)}{since}"]
    if answer.file.state not in ("", "IN_FORCE"):
        lines += _difference(answer.file)
    if digest != answer.file.digest:
        lines.append("the file of the server that answered is another one: put this one there")
    return False, lines


def _difference(file: PolicyFile) -> Iterator[str]:
    """Yields why a server's file is not in force."""
    name = f"its file, {_shown(file.digest)}," if file.digest else "its file"
    what = _WORDS.get(file.state, "is not in force")
    since = ""
    if file.HasField("differs_since_time"):
        since = f" (other than what is in force since {_moment(file.differs_since_time)})"
    yield f"the server that answered: {name} {what}{since}:"
    for line in file.problem.splitlines():
        yield f"  {_shown(line)}"


def _moment(stamp: Timestamp) -> str:
    return f"{stamp.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"


def _shown(text: str) -> str:
    # A server's name and a file's problem may hold anything, and a terminal obeys controls.
    return "".join(char if char.isprintable() else "?" for char in text)
