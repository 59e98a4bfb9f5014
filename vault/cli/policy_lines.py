"""The status of a service's policy, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vault.cli.printable import without_controls

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from vault.v1.policy_service_pb2 import GetPolicyResponse, PolicyFile

__all__ = ["comparison_lines", "status_lines"]

_WORDS = {
    "REFUSED": "is refused",
    "WAITING": "waits for other servers",
    "DELAYED": "is not taken up yet",
}


def status_lines(answer: GetPolicyResponse) -> Iterator[str]:
    """Yields which policy is in force, on which servers, and what became of the file."""
    yield f"policy {without_controls(answer.digest)}"
    if answer.HasField("effective_time"):
        yield f"in force since {_moment(answer.effective_time)}"
    serving = [each.name for each in answer.servers if each.digest == answer.digest]
    if serving:
        yield f"servers that have it: {without_controls(', '.join(serving))}"
    for each in answer.servers:
        if each.digest != answer.digest:
            yield without_controls(f"server {each.name} has read another: {each.digest}")
    if answer.file.state == "IN_FORCE":
        yield "the file of the server that answered is in force"
    elif answer.file.state:
        yield from _difference(answer.file)


def comparison_lines(digest: str, answer: GetPolicyResponse) -> tuple[bool, list[str]]:
    """Returns whether the service has a policy in force, and lines about it."""
    since = f" since {_moment(answer.effective_time)}" if answer.HasField("effective_time") else ""
    if digest == answer.digest:
        return True, [f"the service has it in force{since}"]
    lines = [f"the service does not have it in force, but {without_controls(answer.digest)}{since}"]
    if answer.file.state not in ("", "IN_FORCE"):
        lines += _difference(answer.file)
    if digest != answer.file.digest:
        lines.append("the file of the server that answered is another one: put this one there")
    return False, lines


def _difference(file: PolicyFile) -> Iterator[str]:
    """Yields why a server's file is not in force."""
    name = f"its file, {without_controls(file.digest)}," if file.digest else "its file"
    what = _WORDS.get(file.state, "is not in force")
    since = ""
    if file.HasField("differs_since_time"):
        since = f" (other than what is in force since {_moment(file.differs_since_time)})"
    yield f"the server that answered: {name} {what}{since}:"
    for line in file.problem.splitlines():
        yield f"  {without_controls(line)}"


def _moment(stamp: Timestamp) -> str:
    return f"{stamp.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
