"""The commands for files against the development environment: the real thing end to end."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.generate import render
from tests import preloaded
from vault.dev.environment import DevEnvironment
from vault.dev.ports import persistent_port

pytestmark = pytest.mark.timeout(300)

# `make lowest` names that of a plain install, which has none of the server's dependencies.
TOKENVAULT = os.environ.get("COMMAND_UNDER_TEST", str(preloaded.TOKENVAULT))
CARD, SSN = "4111 1111-1111 1111", "900-12-3456"
FILE = (
    f'id,card,ssn,note\r\n1,{CARD},,"a, b"\r\n2,4111111111111112,{SSN},\r\n3,"{CARD}",{SSN},x\r\n'
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("dev") / "environment"
    with DevEnvironment(directory):
        yield directory


def tokenvault(
    environment: Path, *arguments: str, role: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [TOKENVAULT, *arguments, "--dev", str(environment), "--role", role]
    if given or str(preloaded.TOKENVAULT) != TOKENVAULT:
        # Through pipes.
        ended = subprocess.run(
            command, input=given.encode(), capture_output=True, check=False, timeout=60
        )
        out, err = ended.stdout.decode(), ended.stderr.decode()
        done = subprocess.CompletedProcess(command, ended.returncode, out, err)
    else:
        done = preloaded.run(command)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


COLUMNS = ("-c", "card=card_number", "-c", "ssn=us_ssn")


def test_a_file_goes_there_and_back_byte_for_byte(environment: Path, tmp_path: Path) -> None:
    source, tokens, back, rejects = (tmp_path / name for name in ("in", "out", "back", "rejects"))
    source.write_bytes(FILE.encode())
    done = tokenvault(
        environment,
        *(
            "tokenize",
            str(source),
            *COLUMNS,
            "-o",
            str(tokens),
            "--rejects",
            str(rejects),
            "--json",
        ),
        role="pipeline",
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {
        "rows": 3,
        "written": 2,
        "columns": {
            "card": {"field": "card_number", "converted": 2, "empty": 0},
            "ssn": {"field": "us_ssn", "converted": 2, "empty": 1},
        },
        "rejects": [{"column": "card", "reason": "VALUE_NOT_IN_FORMAT", "count": 1}],
    }
    assert "4111111111111112" not in rejects.read_text()
    _, first, last = rows(tokens.read_bytes().decode())
    assert first[1] == last[1] != CARD
    assert first[1].endswith(" 1111")
    assert first[2] == ""
    done = tokenvault(
        environment, "detokenize", str(tokens), *COLUMNS, "-o", str(back), role="restore_pipeline"
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = FILE.splitlines(keepends=True)
    assert back.read_bytes().decode() == lines[0] + lines[1] + lines[3]
    assert oct(back.stat().st_mode & 0o777) == "0o600"


def test_pipes_carry_data_only(environment: Path) -> None:
    done = tokenvault(
        environment, "tokenize", "-", *COLUMNS, "-o", "-", role="pipeline", given=FILE
    )
    assert done.returncode == 1
    assert len(rows(done.stdout)) == 3
    assert "3 rows read, 2 written" in done.stderr
    assert CARD not in done.stdout + done.stderr
    assert SSN not in done.stdout + done.stderr


def test_support_sees_the_last_four_only(environment: Path) -> None:
    given = f"card\n{CARD}\n"
    tokens = tokenvault(
        environment,
        "tokenize",
        "-",
        "-c",
        "card=card_number",
        "-o",
        "-",
        role="pipeline",
        given=given,
    ).stdout
    arguments = ("detokenize", "-", "-c", "card=card_number", "-o", "-")
    seen = tokenvault(environment, *arguments, role="support", given=tokens)
    assert rows(seen.stdout)[1] == ["**** ****-**** 1111"]
    whole = tokenvault(environment, *arguments, "--view", "full", role="support", given=tokens)
    assert (whole.returncode, whole.stdout) == (3, "")
    assert "DENIED" in whole.stderr


def test_a_refused_role_gets_3_and_no_file(environment: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text(f"card\n{CARD}\n")
    done = tokenvault(
        environment,
        *("detokenize", str(source), "-c", "card=card_number", "-o", str(target)),
        role="pipeline",
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "the service refused: DENIED" in done.stderr
    assert CARD not in done.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_an_unknown_field_and_an_unknown_column_get_2(environment: Path) -> None:
    for columns, said in (("card=nothing", "FIELD_NOT_FOUND"), ("nothing=email", "'nothing'")):
        done = tokenvault(
            environment, "tokenize", "-", "-c", columns, "-o", "-", role="pipeline", given=FILE
        )
        assert done.returncode == 2
        assert said in done.stderr
        assert CARD not in done.stdout + done.stderr


def test_a_token_nobody_issued_is_rejected(environment: Path) -> None:
    done = tokenvault(
        environment,
        *("detokenize", "-", "-c", "ssn=us_ssn", "-o", "-", "--on-reject", "empty-cell"),
        role="restore_pipeline",
        given="id,ssn\n1,999-99-9999\n",
    )
    assert (done.returncode, done.stdout) == (1, "id,ssn\n1,\n")
    assert "TOKEN_NOT_FOUND" in done.stderr


def test_the_audit_verifies_for_the_auditor_alone(environment: Path) -> None:
    done = tokenvault(environment, "audit", "verify", "--json", role="auditor")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert answer["findings"] == []
    assert answer["records"] > 0
    assert tokenvault(environment, "audit", "verify", role="pipeline").returncode == 3


def test_keys_are_listed_without_keys(environment: Path) -> None:
    settings = environment / "server.toml"
    done = preloaded.run([preloaded.TOKENVAULT, "keys", "list", "--config", settings])
    assert done.returncode == 0, done.stderr
    listed = {tuple(line.split()[1:4]) for line in done.stdout.splitlines()[1:]}
    assert {("card_number", "field", "1"), ("card_number", "index", "1")} <= listed
    # A block that a server has set aside is not what it has used.
    assert done.stdout.split()[5] == "reserved"
    assert " uses " not in done.stdout.splitlines()[0]
    reserved = {tuple(line.split()[1:3]): line.split()[5] for line in done.stdout.splitlines()[1:6]}
    assert "reserved: encryptions that servers have set aside" in done.stdout
    assert {count for (_, purpose), count in reserved.items() if purpose != "field"} == {"-"}
    assert "vault:" not in done.stdout


def migrate(environment: Path, owner: str) -> subprocess.CompletedProcess[str]:
    password = environment / "postgres" / "tokenvault_owner.password"
    return preloaded.run(
        [
            *(preloaded.TOKENVAULT, "migrate", "--config", environment / "server.toml"),
            *("--owner", owner, "--password-file", password),
        ]
    )


def test_migrating_again_changes_nothing(environment: Path) -> None:
    done = migrate(environment, "tokenvault_owner")
    assert (done.returncode, done.stderr) == (0, "")
    assert "granted to tokenvault" in done.stdout


def test_a_database_that_refuses_the_owner_is_told_on_standard_error(environment: Path) -> None:
    done = migrate(environment, "nobody")
    assert (done.returncode, done.stdout) == (4, "")
    assert "STORE_UNAVAILABLE" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_refuses_the_development_authority(environment: Path) -> None:
    # Ports of its own: those of the environment are refused before anything is read.
    settings = environment / "elsewhere.toml"
    text = (environment / "server.toml").read_text()

    def another(line: re.Match[str]) -> str:
        return f"{line[1]} = {persistent_port(environment / f'elsewhere_{line.start()}')}"

    settings.write_text(re.sub(r"(?m)^(\w*port) = \d+$", another, text))
    done = preloaded.run([preloaded.TOKENVAULT, "serve", "--config", settings])
    assert (done.returncode, done.stdout) == (2, "")
    assert "made by `tokenvault dev`" in done.stderr


def test_ctrl_c_leaves_no_half_file(environment: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    os.mkfifo(source)
    process = subprocess.Popen(
        [
            *(TOKENVAULT, "tokenize", str(source), "-c", "email", "-o", str(tmp_path / "out.csv")),
            *("--dev", str(environment)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # A pipe that stays open holds the command in the middle of its file.
    with source.open("w") as stream:
        stream.write(render(rows=6_000))
        stream.flush()
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".out.csv.*.part")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in out + err
    assert list(tmp_path.iterdir()) == [source]


def test_a_file_of_tokens_is_erased(environment: Path, tmp_path: Path) -> None:
    source, tokens, rejects = (tmp_path / name for name in ("in", "out", "rejects"))
    source.write_text("id,ssn\n1,900-44-1111\n2,900-44-2222\n3,\n")
    columns = ("-c", "ssn=us_ssn")
    tokenvault(environment, "tokenize", str(source), *columns, "-o", str(tokens), role="pipeline")
    before = tokens.read_bytes()

    unasked = tokenvault(environment, "erase", str(tokens), *columns, role="privacy_officer")
    assert unasked.returncode == 2
    assert "--yes" in unasked.stderr
    refused = tokenvault(environment, "erase", str(tokens), *columns, "--yes", role="pipeline")
    assert (refused.returncode, refused.stdout) == (3, "")

    for _ in range(2):  # a run that was cut off can be repeated
        done = tokenvault(
            environment, "erase", str(tokens), *columns, "--yes", role="privacy_officer"
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "3 rows read\n  ssn  us_ssn: 2 erased, 1 empty\n"
    assert tokens.read_bytes() == before

    by_value = tokenvault(
        environment,
        *("erase", str(source), *columns, "--values", "-y", "--rejects", str(rejects), "--json"),
        role="privacy_officer",
    )
    assert by_value.returncode == 1
    assert json.loads(by_value.stdout) == {
        "rows": 3,
        "columns": {"ssn": {"field": "us_ssn", "erased": 0, "empty": 1}},
        "rejects": [{"column": "ssn", "reason": "TOKEN_NOT_FOUND", "count": 2}],
    }
    assert "900-44" not in rejects.read_text() + by_value.stdout + by_value.stderr
    back = tokenvault(environment, "detokenize", str(tokens), *columns, role="restore_pipeline")
    assert back.returncode == 1
    assert "2 x TOKEN_ERASED" in back.stderr


def test_a_file_of_addresses_is_erased_in_every_spelling(environment: Path, tmp_path: Path) -> None:
    written, asked, tokens = (tmp_path / name for name in ("in", "asked", "out"))
    written.write_text("mail\nlee@firm.org\nLee@Firm.ORG\nlee@FIRM.org\nlea@firm.org\n")
    asked.write_text("mail\nlee@firm.org\n")
    column = ("-c", "mail=email")
    tokenvault(environment, "tokenize", str(written), *column, "-o", str(tokens), role="pipeline")

    def erase(*options: str) -> subprocess.CompletedProcess[str]:
        line = ("erase", str(asked), *column, "--yes", *options)
        return tokenvault(environment, *line, role="privacy_officer")

    assert "--values" in erase("--all-spellings").stderr
    # Success would be taken for "nobody is left".
    first = erase("--values")
    assert first.returncode == 1
    assert "  mail  email: 1 erased, 0 empty\n" in first.stdout
    assert "left in email: 2 live token(s)" in first.stdout
    assert "--all-spellings" in first.stdout
    as_json = erase("--values", "--json")
    assert json.loads(as_json.stdout)["left"] == {"email": 2}
    quick = erase("--values", "--no-count")
    assert "left in" not in quick.stdout

    every = erase("--values", "--all-spellings")
    assert (every.returncode, every.stderr) == (0, "")
    assert every.stdout == "1 rows read\n  mail  email: 1 erased, 0 empty\n"
    back = tokenvault(
        environment,
        *("detokenize", str(tokens), *column, "--on-reject", "empty-cell"),
        role="restore_pipeline",
    )
    assert back.stdout.splitlines() == ["mail", "", "", "", "lea@firm.org"]
    assert "lee" not in (every.stdout + first.stdout + first.stderr).lower()


STRAY = f'name,card\n"Bob,{CARD}\nAl,5500005555555559\nCy "x",4012888888881881\n'
ESCAPED = f'id,note,card\n1,"size 12\\"",{CARD}\n2,"plain",5500005555555559\n'


def test_a_file_whose_quotes_join_rows_is_refused_by_every_command(
    environment: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    columns = ("-c", "card=card_number")
    for text, line in ((STRAY, "line 4"), (ESCAPED, "line 3")):
        source.write_text(text)
        for command, role in (("tokenize", "pipeline"), ("detokenize", "restore_pipeline")):
            done = tokenvault(
                environment, command, str(source), *columns, "-o", str(target), role=role
            )
            assert (done.returncode, done.stdout) == (2, "")
            assert line in done.stderr
            assert "--escape" in done.stderr
            assert CARD not in done.stderr
            assert not target.exists()
        erased = tokenvault(
            environment,
            *("erase", str(source), *columns, "--values", "--yes"),
            role="privacy_officer",
        )
        assert (erased.returncode, erased.stdout) == (2, "")
        assert "nothing was erased" in erased.stderr


def test_a_file_of_escaped_quotes_and_null_markers_goes_through(
    environment: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text(ESCAPED + "3,NULL,\\N\n")
    done = tokenvault(
        environment,
        *("tokenize", str(source), "-c", "card=card_number", "-o", str(target)),
        *("--escape", "\\", "--null", "\\N"),
        role="pipeline",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "card_number: 2 converted, 1 empty" in done.stdout
    text = target.read_text()
    assert text.startswith('id,note,card\n1,"size 12\\"",')
    assert text.endswith("3,NULL,\\N\n")
    assert CARD not in text
    assert "5500005555555559" not in text
