from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from vault.telemetry.logging import configure_logging, get_log

CANARY = "4111111111111111"


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers, root.level, logging.getLogger("vault").level
    yield
    root.handlers, level, ours = before
    root.setLevel(level)
    logging.getLogger("vault").setLevel(ours)
    structlog.reset_defaults()


def broken() -> None:
    raise ValueError(CANARY)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("restored")
def test_an_exception_is_logged_by_type_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    try:
        broken()
    except ValueError as error:
        get_log("vault.rpc.test").error("unexpected error", exc_info=error)
        logging.getLogger("vault.store").exception("failed")
        logging.getLogger("grpc").exception("failed too")
    ours, standard, library = lines(capsys)
    for line in (ours, standard, library):
        assert line["error"] == "ValueError"
        assert "broken" in str(line["frames"])
        assert CANARY not in json.dumps(line)
        assert line["level"] == "error"


@pytest.mark.usefixtures("restored")
def test_a_librarys_arguments_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    logging.getLogger("psycopg.pool").warning("cannot insert %s", CANARY)
    assert [line["event"] for line in lines(capsys)] == ["cannot insert %s"]


@pytest.mark.usefixtures("restored")
def test_our_own_arguments_are(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    logging.getLogger("vault.keys").info("renewed for %d s", 30)
    logging.getLogger("urllib3").info("too chatty")
    assert [line["event"] for line in lines(capsys)] == ["renewed for 30 s"]


def test_a_worker_s_line_names_it_and_is_written_at_once(
    restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    class Recorder(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Recorder())
    configure_logging("info", worker=3)
    get_log("vault.test").info("call")
    (line,) = written
    assert line.endswith("}\n")
    assert json.loads(line)["worker"] == 3
