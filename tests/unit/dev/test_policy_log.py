from __future__ import annotations

import json
from pathlib import Path

import pytest

from vault.dev.policy_log import PolicyLogReader
from vault.server.policy_source import IN_FORCE, IN_FORCE_AGAIN, REFUSED


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "server.log"
    path.write_text(line(REFUSED, problem="of the last start"))
    return path


def line(event: str, **more: str | int) -> str:
    return json.dumps({"event": event, **more}) + "\n"


def add(log: Path, text: str) -> None:
    with log.open("a") as stream:
        stream.write(text)


def test_a_refused_policy_is_told_with_every_problem(log: Path) -> None:
    news = PolicyLogReader(log)
    assert news.read() == []
    add(
        log, line("call", rpc="Tokenize") + line(REFUSED, problem="p.yaml:3: a\np.yaml:4: b\x1b[2J")
    )
    assert news.read() == [
        "Policy REFUSED, the one before it stays in force:\n  p.yaml:3: a\n  p.yaml:4: b?[2J"
    ]
    assert news.read() == []


def test_workers_that_say_the_same_are_told_once(log: Path) -> None:
    news = PolicyLogReader(log)
    add(log, "".join(line(REFUSED, problem="p", worker=number) for number in range(3)))
    add(log, "".join(line(IN_FORCE, policy="ab" * 32, worker=number) for number in range(3)))
    add(log, line(REFUSED, problem="p"))
    refused = "Policy REFUSED, the one before it stays in force:\n  p"
    assert news.read() == [refused, "Policy abababababab is in force.", refused]


def test_a_file_that_was_mended_is_told_and_the_same_mistake_again_too(log: Path) -> None:
    news = PolicyLogReader(log)
    for _ in range(2):
        add(log, "".join(line(REFUSED, problem="p", worker=number) for number in range(2)))
        assert len(news.read()) == 1
        add(
            log,
            "".join(line(IN_FORCE_AGAIN, policy="ab" * 32, worker=number) for number in range(2)),
        )
        assert news.read() == [
            "Policy abababababab, which is in force, is what the file says again."
        ]


def test_a_line_is_read_once_it_is_whole_and_what_is_no_line_of_ours_is_passed_over(
    log: Path,
) -> None:
    news = PolicyLogReader(log)
    whole = line(REFUSED, problem="p")
    add(log, f"Traceback\n[1]\n{'[' * 100_000}\n" + whole[:20])
    assert news.read() == []
    add(log, whole[20:])
    assert len(news.read()) == 1
    log.unlink()
    assert news.read() == []
