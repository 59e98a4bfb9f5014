"""The exchange of the policy in one server, without the others: turn by turn, no thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from vault.crypto.field_key import MacKey
from vault.errors import KeysUnavailable, PolicyError, StoreUnavailable, VaultError
from vault.policy.model import Policy
from vault.rpc.policy_file import PolicyFile
from vault.rpc.policy_seal import PolicySeal
from vault.rpc.policy_source import PolicySource
from vault.store.policy_state import Agreement, SealedPolicy


def text(mark: int, fields: str = "  a: {format: us_ssn, generator: ff1}\n") -> str:
    return f"# {mark}\nversion: 1\nfields:\n{fields}"


@dataclass
class FakeBoard:
    """The others: an absent one would let everything through, ``others`` hold out."""

    stale: float = 15.0
    others: tuple[str, ...] = ()
    in_force: SealedPolicy | None = None
    error: VaultError | None = None
    left: bool = False

    def report(self, held: SealedPolicy) -> Agreement:
        if self.error is not None:
            raise self.error
        if self.in_force is None or not self.others:
            self.in_force = held
        return Agreement(self.in_force, self.others)

    def leave(self) -> None:
        self.left = True


@dataclass
class House:
    path: Path
    board: FakeBoard = field(default_factory=FakeBoard)
    seal: PolicySeal = field(
        default_factory=lambda: PolicySeal("default", lambda v: MacKey(v or 1, b"k" * 32))
    )
    prepared: list[str] = field(default_factory=list)
    unfit: VaultError | None = None
    now: float = 1000.0

    def prepare(self, policy: Policy) -> None:
        if self.unfit is not None:
            raise self.unfit
        self.prepared.append(policy.digest)

    def source(self) -> PolicySource:
        file = PolicyFile(self.path)
        first = file.read()
        source = PolicySource(
            file, first, self.board, self.seal, self.prepare, clock=lambda: self.now
        )
        source._report()
        return source


@pytest.fixture
def house(tmp_path: Path) -> House:
    path = tmp_path / "policy.yaml"
    path.write_text(text(1))
    return House(path)


def mark_of(source: PolicySource) -> str:
    return source.current().document.splitlines()[0]


def events(work: Callable[[], object]) -> list[str]:
    with capture_logs() as logs:
        work()
    return [str(entry["event"]) for entry in logs]


def test_a_changed_file_comes_into_force(house: House) -> None:
    source = house.source()
    before = source.current()
    house.path.write_text(text(2))
    assert events(source._turn) == ["policy file read", "policy in force"]
    assert mark_of(source) == "# 2"
    # A call that began before goes on with what it has.
    assert before.document == text(1)
    assert events(source._turn) == []


@pytest.mark.parametrize("broken", ["version: 1\nfields: [\n", "version: 2\n", "\x00", ""])
def test_a_bad_file_keeps_the_old_policy_and_is_logged_once(house: House, broken: str) -> None:
    source = house.source()
    house.path.write_text(broken)
    refused = ["policy file refused, the policy before it stays"]
    assert events(source._turn) == refused
    house.path.touch()
    source.reload()
    assert events(source._turn) == []
    assert mark_of(source) == "# 1"
    house.path.write_text(text(3))
    source._turn()
    assert mark_of(source) == "# 3"
    house.path.write_text(broken)
    assert events(source._turn) == refused


def test_a_missing_file_keeps_the_old_policy(house: House) -> None:
    source = house.source()
    house.path.unlink()
    assert events(source._turn) == ["policy file refused, the policy before it stays"]
    assert events(source._turn) == []
    assert mark_of(source) == "# 1"


def test_a_file_that_changes_a_used_field_is_refused(house: House) -> None:
    source = house.source()
    house.unfit = PolicyError("fields.a: the field has tokens of another shape")
    house.path.write_text(text(2))
    with capture_logs() as logs:
        source._turn()
    assert "another shape" in logs[0]["problem"]
    assert mark_of(source) == "# 1"


def test_a_file_whose_keys_are_not_to_be_had_is_taken_up_later(house: House) -> None:
    source = house.source()
    house.unfit = KeysUnavailable("sealed")
    house.path.write_text(text(2))
    assert events(source._turn) == ["policy file not taken up yet"]
    assert events(source._turn) == []
    assert mark_of(source) == "# 1"
    house.unfit = None
    source._turn()
    assert mark_of(source) == "# 2"


def test_a_new_policy_waits_for_the_others(house: House) -> None:
    source = house.source()
    house.board.others = ("other:1",)
    house.path.write_text(text(2))
    assert events(source._turn) == ["policy file read", "policy waits for other servers"]
    assert events(source._turn) == []
    assert mark_of(source) == "# 1"
    house.board.others = ()
    source._turn()
    assert mark_of(source) == "# 2"


def test_a_field_used_while_the_policy_waited_withdraws_it(house: House) -> None:
    source = house.source()
    house.board.others = ("other:1",)
    house.path.write_text(text(2))
    source._turn()
    house.unfit = PolicyError("fields.a: the field has tokens of another shape")
    house.board.others = ()
    assert events(source._turn) == ["policy file refused, the policy before it stays"]
    assert mark_of(source) == "# 1"


def test_a_newcomer_serves_what_the_others_serve(house: House) -> None:
    house.source()
    house.board.others = ("other:1",)
    house.path.write_text(text(2))
    newcomer = house.source()
    assert mark_of(newcomer) == "# 1"
    assert newcomer.current().digest in house.prepared
    house.board.others = ()
    newcomer._turn()
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
    house: House, change: dict[str, object]
) -> None:
    house.source()
    assert house.board.in_force is not None
    house.board.in_force = replace(house.board.in_force, **change)  # type: ignore[arg-type]
    house.board.others = ("other:1",)
    house.path.write_text(text(2))
    with pytest.raises(PolicyError, match="MAC is wrong"):
        house.source()


def test_a_forged_policy_does_not_reach_a_running_server(house: House) -> None:
    source = house.source()
    assert house.board.in_force is not None
    house.board.in_force = replace(house.board.in_force, digest="0" * 64, document=text(9))
    house.board.others = ("other:1",)
    house.now += 10
    assert events(source._turn) == ["policy not confirmed"]
    assert mark_of(source) == "# 1"
    house.now += 6
    with pytest.raises(StoreUnavailable):
        source.current()


def test_calls_stop_where_the_policy_cannot_be_confirmed(house: House) -> None:
    source = house.source()
    house.board.error = StoreUnavailable("the database is not available")
    assert events(source._turn) == ["policy not confirmed"]
    assert events(source._turn) == []
    house.now += 15.0
    source.probe()
    house.now += 0.1
    with pytest.raises(StoreUnavailable, match=f"of late: {house.board.error.message}"):
        source.probe()
    with pytest.raises(StoreUnavailable, match="could not be confirmed"):
        source.probe()
    house.board.error = None
    source._turn()
    source.probe()


def test_nothing_is_in_force_before_the_start(house: House) -> None:
    file = PolicyFile(house.path)
    source = PolicySource(file, file.read(), house.board, house.seal, house.prepare)
    with pytest.raises(StoreUnavailable):
        source.current()
    source.start()
    assert mark_of(source) == "# 1"
    source.close()
    assert house.board.left


def test_reload_is_not_waited_for(house: House) -> None:
    file = PolicyFile(house.path)
    source = PolicySource(
        file, file.read(), house.board, house.seal, house.prepare, interval=3600.0
    )
    source.start()
    house.path.write_text(text(2))
    source.reload()
    for _ in range(500):
        if mark_of(source) == "# 2":
            break
        source._thread.join(0.01)
    source.close()
    assert mark_of(source) == "# 2"
