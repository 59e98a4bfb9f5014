"""What the service says of its policy, as lines."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from vault.cli.policy_lines import comparison_lines, status_lines
from vault.v1.policy_service_pb2 import GetPolicyResponse, PolicyFile, PolicyServer

OLD, NEW, MINE = "a" * 64, "b" * 64, "c" * 64


def at(hour: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime(2026, 11, 27, hour, tzinfo=UTC))
    return stamp


def answer(state: str, problem: str = "", file: str = NEW) -> GetPolicyResponse:
    return GetPolicyResponse(
        digest=OLD,
        effective_time=at(8),
        servers=[PolicyServer(name="a:1", digest=OLD), PolicyServer(name="b:1\x1b", digest=NEW)],
        file=PolicyFile(
            digest=file,
            state=state,
            problem=problem,
            differs_since_time=None if state == "IN_FORCE" else at(9),
        ),
    )


def test_what_is_in_force_where_and_since_when() -> None:
    assert list(status_lines(answer("IN_FORCE", file=OLD))) == [
        f"policy {OLD}",
        "in force since 2026-11-27 08:00:00 UTC",
        "servers that have it: a:1",
        f"server b:1? has read another: {NEW}",
        "the file of the server that answered is in force",
    ]


def test_a_refused_file_is_named_with_every_reason() -> None:
    lines = list(status_lines(answer("REFUSED", "p.yaml:1: a\np.yaml:2: \x1b[2Jb")))
    assert lines[-3:] == [
        f"the server that answered: its file, {NEW}, is refused (other than what is in force since"
        " 2026-11-27 09:00:00 UTC):",
        "  p.yaml:1: a",
        "  p.yaml:2: ?[2Jb",
    ]


def test_a_file_is_compared_with_what_is_in_force() -> None:
    assert comparison_lines(OLD, answer("IN_FORCE", file=OLD)) == (
        True,
        ["the service has it in force since 2026-11-27 08:00:00 UTC"],
    )
    good, lines = comparison_lines(NEW, answer("REFUSED", "another token spec"))
    assert not good
    assert lines[-1] == "  another token spec"
    assert "is refused" in lines[1]
    good, lines = comparison_lines(MINE, answer("IN_FORCE", file=OLD))
    assert not good
    assert lines[-1].endswith("is another one: put this one there")


def test_an_older_service_that_says_no_more_than_the_digest_is_understood() -> None:
    old = GetPolicyResponse(digest=OLD, document="version: 1\n")
    assert list(status_lines(old)) == [f"policy {OLD}"]
    assert comparison_lines(OLD, old) == (True, ["the service has it in force"])
    assert comparison_lines(NEW, old)[0] is False
