"""The exchange of the policy in one server, without the others: turn by turn, no thread."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from vault.crypto.field_key import MacKey
from vault.errors import KeysUnavailable, PolicyError, StoreUnavailable, TokenvaultError
from vault.policy.model import Policy
from vault.server.policy_authenticator import PolicyAuthenticator
from vault.server.policy_file import PolicyFile
from vault.server.policy_source import PolicySource
from vault.service.policy import FileState
from vault.store.policy_coordinator import Agreement, AuthenticatedPolicy


def text(mark: int, fields: str = "  a: {format: us_ssn, generator: ff1}\n") -> str:
    return f"# {mark}\nversion: 1\nfields:\n{fields}"


@dataclass
class FakeCoordinator:
    """The others: an absent one would let everything through, ``others`` hold out."""

    stale_after: float = 15.0
    others: tuple[str, ...] = ()
    in_force: AuthenticatedPolicy | None = None
    error: TokenvaultError | None = None
    left: bool = False

    def report(self, proposed: AuthenticatedPolicy) -> Agreement:
        if self.error is not None:
            raise self.error
        if self.in_force is None or not self.others:
            self.in_force = proposed
        return Agreement(self.in_force, self.others)

    def leave(self) -> None:
        self.left = True


@dataclass
class PolicyHarness:
    path: Path
    coordinator: FakeCoordinator = field(default_factory=FakeCoordinator)
    authenticator: PolicyAuthenticator = field(
        default_factory=lambda: PolicyAuthenticator("default", lambda v: MacKey(v or 1, b"k" * 32))
    )
    prepared: list[str] = field(default_factory=list)
    unfit: TokenvaultError | None = None
    now: float = 1000.0
    differs: list[datetime | None] = field(default_factory=list)
    today: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def prepare(self, policy: Policy) -> None:
        if self.unfit is not None:
            raise self.unfit
        self.prepared.append(policy.digest)

    def source(self) -> PolicySource:
        file = PolicyFile(self.path)
        first = file.read()
        source = PolicySource(
            file,
            first,
            self.coordinator,
            self.authenticator,
            self.prepare,
            differs=self.differs.append,
            clock=lambda: self.now,
            now=lambda: self.today,
        )
        source._report()
        source._note_status()
        return source


@pytest.fixture
def harness(tmp_path: Path) -> PolicyHarness:
    path = tmp_path / "policy.yaml"
    path.write_text(text(1))
    return PolicyHarness(path)


def mark_of(source: PolicySource) -> str:
    return source.current().document.splitlines()[0]


def events(work: Callable[[], object]) -> list[str]:
    with capture_logs() as logs:
        work()
    return [str(entry["event"]) for entry in logs]


def test_a_changed_file_comes_into_force(harness: PolicyHarness) -> None:
    source = harness.source()
    before = source.current()
    harness.path.write_text(text(2))
    assert events(source._run_once) == ["policy file read", "policy in force"]
    assert mark_of(source) == "# 2"
    # A call that began before goes on with what it has.
    assert before.document == text(1)
    assert events(source._run_once) == []


@pytest.mark.parametrize("broken", ["version: 1\nfields: [\n", "version: 2\n", "\x00", ""])
def test_a_bad_file_keeps_the_old_policy_and_is_logged_once(
    harness: PolicyHarness, broken: str
) -> None:
    source = harness.source()
    harness.path.write_text(broken)
    refused = ["policy file refused, the policy before it stays"]
    assert events(source._run_once) == refused
    harness.path.touch()
    source.reload()
    assert events(source._run_once) == []
    assert mark_of(source) == "# 1"
    harness.path.write_text(text(3))
    source._run_once()
    assert mark_of(source) == "# 3"
    harness.path.write_text(broken)
    assert events(source._run_once) == refused


def test_a_file_that_is_set_back_is_told_as_such(harness: PolicyHarness) -> None:
    source = harness.source()
    for _ in range(2):  # the same mistake twice is reported twice
        harness.path.write_text("version: 2\n")
        assert events(source._run_once) == ["policy file refused, the policy before it stays"]
        harness.path.write_text(text(1))
        assert events(source._run_once) == ["policy file is what is in force again"]
        assert events(source._run_once) == []
    harness.coordinator.others = ("b",)
    harness.path.write_text(text(2))
    source._run_once()
    harness.path.write_text(text(1))
    assert events(source._run_once)[-1] == "policy file is what is in force again"


def test_a_missing_file_keeps_the_old_policy(harness: PolicyHarness) -> None:
    source = harness.source()
    harness.path.unlink()
    assert events(source._run_once) == ["policy file refused, the policy before it stays"]
    assert events(source._run_once) == []
    assert mark_of(source) == "# 1"


def test_a_file_that_changes_a_used_field_is_refused(harness: PolicyHarness) -> None:
    source = harness.source()
    harness.unfit = PolicyError("fields.a: the field has tokens of another token spec")
    harness.path.write_text(text(2))
    with capture_logs() as logs:
        source._run_once()
    assert "another token spec" in logs[0]["problem"]
    assert mark_of(source) == "# 1"


def test_a_file_whose_keys_are_not_to_be_had_is_taken_up_later(harness: PolicyHarness) -> None:
    source = harness.source()
    harness.unfit = KeysUnavailable("sealed")
    harness.path.write_text(text(2))
    assert events(source._run_once) == ["policy file not taken up yet"]
    assert events(source._run_once) == []
    assert mark_of(source) == "# 1"
    harness.unfit = None
    source._run_once()
    assert mark_of(source) == "# 2"


def test_a_new_policy_waits_for_the_others(harness: PolicyHarness) -> None:
    source = harness.source()
    harness.coordinator.others = ("other:1",)
    harness.path.write_text(text(2))
    assert events(source._run_once) == ["policy file read", "policy waits for other servers"]
    assert events(source._run_once) == []
    assert mark_of(source) == "# 1"
    harness.coordinator.others = ()
    source._run_once()
    assert mark_of(source) == "# 2"


def test_a_field_used_while_the_policy_waited_withdraws_it(harness: PolicyHarness) -> None:
    source = harness.source()
    harness.coordinator.others = ("other:1",)
    harness.path.write_text(text(2))
    source._run_once()
    harness.unfit = PolicyError("fields.a: the field has tokens of another token spec")
    harness.coordinator.others = ()
    assert events(source._run_once) == ["policy file refused, the policy before it stays"]
    assert mark_of(source) == "# 1"


def test_a_newcomer_serves_what_the_others_serve(harness: PolicyHarness) -> None:
    harness.source()
    harness.coordinator.others = ("other:1",)
    harness.path.write_text(text(2))
    newcomer = harness.source()
    assert mark_of(newcomer) == "# 1"
    assert newcomer.current().digest in harness.prepared
    harness.coordinator.others = ()
    newcomer._run_once()
    assert mark_of(newcomer) == "# 2"


@pytest.mark.parametrize(
    "change",
    [
        {"document": text(1) + "roles:\n  r: [{fields: ['*'], allow: [detokenize], view: full}]\n"},
        {"mac": bytes(32)},
        {"key_version": 2, "mac": b"x" * 32},
        {"digest": "0" * 64},
    ],
)
def test_a_policy_forged_in_the_database_is_refused(
    harness: PolicyHarness, change: dict[str, object]
) -> None:
    harness.source()
    assert harness.coordinator.in_force is not None
    harness.coordinator.in_force = replace(harness.coordinator.in_force, **change)  # type: ignore[arg-type]
    harness.coordinator.others = ("other:1",)
    harness.path.write_text(text(2))
    with pytest.raises(PolicyError, match="MAC is wrong"):
        harness.source()


def test_a_forged_policy_does_not_reach_a_running_server(harness: PolicyHarness) -> None:
    source = harness.source()
    assert harness.coordinator.in_force is not None
    harness.coordinator.in_force = replace(
        harness.coordinator.in_force, digest="0" * 64, document=text(9)
    )
    harness.coordinator.others = ("other:1",)
    harness.now += 10
    assert events(source._run_once) == ["policy not confirmed"]
    assert mark_of(source) == "# 1"
    harness.now += 6
    with pytest.raises(StoreUnavailable):
        source.current()


def test_calls_stop_where_the_policy_cannot_be_confirmed(harness: PolicyHarness) -> None:
    source = harness.source()
    harness.coordinator.error = StoreUnavailable("the database is not available")
    assert events(source._run_once) == ["policy not confirmed"]
    assert events(source._run_once) == []
    harness.now += 15.0
    source.probe()
    harness.now += 0.1
    with pytest.raises(StoreUnavailable, match=f"recently: {harness.coordinator.error.message}"):
        source.probe()
    with pytest.raises(StoreUnavailable, match="could not be confirmed"):
        source.probe()
    harness.coordinator.error = None
    source._run_once()
    source.probe()


def test_nothing_is_in_force_before_the_start(harness: PolicyHarness) -> None:
    file = PolicyFile(harness.path)
    source = PolicySource(
        file, file.read(), harness.coordinator, harness.authenticator, harness.prepare
    )
    with pytest.raises(StoreUnavailable):
        source.current()
    source.start()
    assert mark_of(source) == "# 1"
    source.close()
    assert harness.coordinator.left


def test_reload_is_not_waited_for(harness: PolicyHarness) -> None:
    file = PolicyFile(harness.path)
    source = PolicySource(
        file,
        file.read(),
        harness.coordinator,
        harness.authenticator,
        harness.prepare,
        interval=3600.0,
    )
    source.start()
    harness.path.write_text(text(2))
    source.reload()
    for _ in range(500):
        if mark_of(source) == "# 2":
            break
        time.sleep(0.01)
    source.close()
    assert mark_of(source) == "# 2"


MINUTE = timedelta(minutes=1)


def test_a_refused_file_shows_until_it_is_mended(harness: PolicyHarness) -> None:
    source = harness.source()
    source.probe_file()
    began = harness.today = harness.today + MINUTE
    harness.path.write_text("version: 1\nfields: {a: {format: us_sn, generator: ff1}}\n")
    source._run_once()
    for _ in range(3):
        harness.today += MINUTE
        source._run_once()
    status = source.status()
    assert status.state is FileState.REFUSED
    assert status.digest == source.current().digest != status.file_digest
    assert status.file_digest == hashlib.sha256(harness.path.read_bytes()).hexdigest()
    assert "did you mean 'us_ssn'" in status.problem
    assert status.differs_since == began
    assert harness.differs == [None] + 4 * [began]
    with pytest.raises(PolicyError, match=r"2026-01-01 00:01:00 UTC .* did you mean 'us_ssn'"):
        source.probe_file()
    # Calls go on, and so does readiness.
    source.probe()
    harness.path.write_text(text(1))
    source._run_once()
    assert (source.status().state, source.status().problem) == (FileState.IN_FORCE, "")
    assert harness.differs[-1] is None
    source.probe_file()


@pytest.mark.parametrize("gone", ["missing", "not UTF-8", "withdrawn"])
def test_every_way_to_be_refused_shows(harness: PolicyHarness, gone: str) -> None:
    source = harness.source()
    if gone == "missing":
        harness.path.unlink()
    elif gone == "not UTF-8":
        harness.path.write_bytes(b"\xff\xfe")
    else:
        harness.coordinator.others = ("other:1",)
        harness.path.write_text(text(2))
        source._run_once()
        harness.unfit = PolicyError("fields.a: the field has tokens of another token spec")
    source._run_once()
    assert source.status().state is FileState.REFUSED
    assert source.status().problem
    with pytest.raises(PolicyError):
        source.probe_file()


def test_a_file_that_waits_shows_at_once_and_is_a_trouble_after_a_while(
    harness: PolicyHarness,
) -> None:
    source = harness.source()
    harness.coordinator.others = ("other:1", "third:1")
    harness.path.write_text(text(2))
    source._run_once()
    assert source.status().state is FileState.WAITING
    assert source.status().problem == "it waits for other servers: other:1, third:1"
    assert harness.differs[-1] == harness.today
    source.probe_file()
    harness.today += 3 * MINUTE
    source._run_once()
    with pytest.raises(PolicyError, match="other:1"):
        source.probe_file()
    # A newcomer with the newer file says so from its start.
    assert harness.source().status().state is FileState.WAITING


def test_the_last_reason_shows_where_there_were_several(harness: PolicyHarness) -> None:
    source = harness.source()
    harness.path.write_text("version: 2\n")
    source._run_once()
    harness.unfit = KeysUnavailable("sealed")
    harness.path.write_text(text(2))
    source._run_once()
    assert (source.status().state, source.status().problem) == (FileState.DELAYED, "sealed")
    harness.path.write_text("version: 3\n")
    source._run_once()
    assert source.status().state is FileState.REFUSED


def test_a_file_that_breaks_its_reader_is_refused_and_costs_no_report(
    harness: PolicyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = harness.source()

    def broken(_: PolicyFile) -> Policy:
        raise RecursionError("canary")

    monkeypatch.setattr(PolicyFile, "read", broken)
    harness.path.write_text(text(2))
    harness.now += 10
    assert events(source._run_once) == ["policy file refused, the policy before it stays"]
    assert source.status().problem == "RecursionError"
    harness.now += 10
    source.current()


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(harness: PolicyHarness, kind: str) -> None:
    source = harness.source()
    harness.path.unlink()
    if kind == "pipe":
        os.mkfifo(harness.path)
    elif kind == "directory":
        harness.path.mkdir()
    else:
        harness.path.symlink_to("/dev/zero")
    began = time.monotonic()
    source._run_once()
    assert time.monotonic() - began < 5
    assert source.status().state is FileState.REFUSED
    problem = source.status().problem
    assert "is no regular file" in problem or "Is a directory" in problem


def test_a_file_of_gigabytes_is_not_read(harness: PolicyHarness) -> None:
    source = harness.source()
    with harness.path.open("wb") as file:
        file.truncate(8 << 30)
    source._run_once()
    assert source.status().state is FileState.REFUSED
    assert "larger than" in source.status().problem
    assert source.status().file_digest == ""


def test_a_file_of_people_in_the_place_of_the_policy_is_refused_without_its_values(
    harness: PolicyHarness,
) -> None:
    source = harness.source()
    for content in (
        "4111-1111-1111-1111: {name: Jane}\nversion: 1\nfields: {}\n",
        "version: 1\nfields: {536-90-4399: 1, jane.doe@example.org: 2}\n",
        "version: 1\nfields: {a: {format: '4111 1111 1111 1111', generator: jane@example.org}}\n",
        "name,card\nJane Doe,4111111111111111\n",
    ):
        harness.path.write_text(content)
        source._run_once()
        problem = source.status().problem
        assert source.status().state is FileState.REFUSED
        for value in ("4111", "1111", "536", "4399", "jane", "Jane"):
            assert value not in problem, problem
