"""``make demo``: the whole path on a sample file, with everything real.

Starts Postgres, a key server and the service on this machine, in a directory of its own
that is removed at the end; then runs the commands that a pipeline, a support agent, a
fraud analyst and an auditor would run, and checks what each of them got.
"""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SAMPLE = Path(__file__).parent / "customers.csv"
TOKENVAULT = Path(sys.executable).parent / "tokenvault"
START_SECONDS = 60
STOP_SECONDS = 30

COLUMNS = {
    "given_name": "person_name",
    "surname": "person_name",
    "email": "email",
    "card_number": "card_number",
    "us_ssn": "us_ssn",
    "national_id": "national_id",
}
SHOWN = ("customer_id", "given_name", "surname", "email", "card_number", "us_ssn")

Row = dict[str, str]


class UnexpectedError(Exception):
    """Something the demo promises did not happen."""


def main() -> int:
    """Runs the demo; returns 0 if everything was as it must be."""
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="tokenvault-demo-") as name:
            directory = Path(name)
            with environment(directory):
                show(directory)
            expect(True, "everything stopped cleanly")
    except UnexpectedError as error:
        print(f"\nNOT AS EXPECTED: {error}", file=sys.stderr)
        return 1
    print(f"\nAll of it was as it must be. {time.monotonic() - began:.0f} seconds.")
    print("Next: run `.venv/bin/tokenvault dev` for an environment that stays, and read README.md.")
    return 0


def show(directory: Path) -> None:
    """Shows the path of a customer file and back."""
    tokens, rejects = directory / "tokens.csv", directory / "rejects.csv"
    rejected = tokenize(directory, tokens, rejects)
    excerpt = write_excerpt(tokens, directory / "excerpt.csv")
    see_last_four(directory, excerpt)
    see_all(directory, excerpt)
    refuse_pipeline(directory, excerpt)
    restore(directory, tokens, rejected)
    verify_audit(directory)


def tokenize(directory: Path, tokens: Path, rejects: Path) -> set[int]:
    """A pipeline tokenizes the file; returns the numbers of the rejected rows."""
    title("A data pipeline tokenizes a customer file; it may not do the reverse")
    before = read(SAMPLE)
    run(
        directory,
        ["tokenize", str(SAMPLE), *chosen(COLUMNS), "-o", str(tokens), "--rejects", str(rejects)],
        role="pipeline",
        status=1,
    )
    after = read(tokens)
    found = read(rejects)
    rejected = {int(each["row"]) for each in found}
    print("\nBefore:")
    table(before[:4], SHOWN)
    print(
        "\nAfter: the same shape, the last four digits kept, and no way back without the service:"
    )
    table(after[:4], SHOWN)
    print(f"\nThe rows broken on purpose were left out; {rejects.name} says where and why:")
    table(found[:5], ("row", "column", "reason", "message"))
    print()
    expect(1 <= len(rejected) < len(before) // 50, f"{len(rejected)} rows were rejected")
    expect(len(after) == len(before) - len(rejected), f"{len(after):,} rows were written")
    kept = [row for at, row in enumerate(before, start=1) if at not in rejected]
    same = sum(
        bool(old[name]) and old[name] == new[name]
        for old, new in zip(kept, after, strict=True)
        for name in COLUMNS
    )
    expect(same == 0, "no value of a tokenized column is in the output")
    values = {row["card_number"] for row in before} | {row["us_ssn"] for row in before}
    quoted = sum(value in rejects.read_text(encoding="utf-8") for value in values)
    expect(quoted == 0, "no value is in the rejects either")
    return rejected


def see_last_four(directory: Path, excerpt: Path) -> None:
    """A support agent sees the last four digits."""
    title("A support agent may see the last four digits of a card")
    output = directory / "support.csv"
    run(directory, detokenize(excerpt, output, ["card_number"]), role="support")
    seen, originals = read(output), originals_of(read(excerpt))
    table(seen, ("customer_id", "card_number"))
    print()
    right = all(
        "".join(filter(str.isdigit, row["card_number"])) == original["card_number"][-4:]
        for row, original in zip(seen, originals, strict=True)
    )
    expect(right, "the last four digits are those of the real cards, and no other digit shows")


def see_all(directory: Path, excerpt: Path) -> None:
    """A fraud analyst sees whole card numbers."""
    title("A fraud analyst may see whole card numbers")
    output = directory / "analyst.csv"
    run(directory, detokenize(excerpt, output, ["card_number"]), role="fraud_analyst")
    seen, originals = read(output), originals_of(read(excerpt))
    table(seen, ("customer_id", "card_number"))
    print()
    right = [row["card_number"] for row in seen] == [row["card_number"] for row in originals]
    expect(right, "they are the real ones, separators and all")


def refuse_pipeline(directory: Path, excerpt: Path) -> None:
    """The pipeline tries to read back what it wrote."""
    title("The pipeline tries to read back what it wrote")
    output = directory / "stolen.csv"
    run(directory, detokenize(excerpt, output, ["card_number"]), role="pipeline", status=3)
    print()
    expect(not output.exists(), "it was refused, and no file was written")


def restore(directory: Path, tokens: Path, rejected: set[int]) -> None:
    """The role that loads data back turns the whole file round."""
    title("The one role that loads data back restores the whole file")
    output = directory / "restored.csv"
    run(directory, detokenize(tokens, output, list(COLUMNS)), role="restore_pipeline")
    print()
    kept = [row for at, row in enumerate(read(SAMPLE), start=1) if at not in rejected]
    expect(read(output) == kept, f"all {len(kept):,} rows came back as they were")


def verify_audit(directory: Path) -> None:
    """The auditor checks the record of all this."""
    title("Every call is in the audit, the refused one too; an auditor verifies its chain")
    answer = run(directory, ["audit", "verify"], role="auditor")
    print()
    expect("nothing is wrong" in answer, "nothing was edited, deleted, reordered or inserted")


@contextmanager
def environment(directory: Path) -> Iterator[None]:
    """Runs the development environment while the block lasts."""
    title("Starting Postgres, a key server and the service, all on this machine")
    state = directory / "environment"
    log = directory / "environment.log"
    command = [str(TOKENVAULT), "dev", "--dir", str(state)]
    print("$ tokenvault dev")
    with log.open("wb") as stream:
        # A session of its own: Ctrl-C reaches the demo, which then stops it in order.
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _await_start(process, state / "dev.json", log)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = -1
    title("Stopping")
    if status not in {0, 130}:
        raise UnexpectedError(f"the environment ended with {status}:\n{_tail(log)}")


def _await_start(process: subprocess.Popen[bytes], ready: Path, log: Path) -> None:
    began = time.monotonic()
    while not ready.exists():
        if process.poll() is not None or time.monotonic() - began > START_SECONDS:
            raise UnexpectedError(f"the environment did not start:\n{_tail(log)}")
        time.sleep(0.05)
    expect(True, f"ready after {time.monotonic() - began:.1f} seconds")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])


def run(directory: Path, arguments: Sequence[str], *, role: str, status: int = 0) -> str:
    """Runs a tokenvault command as a role and shows both; returns what it printed."""
    shown = " ".join(_short(argument, directory) for argument in arguments)
    lines = textwrap.wrap(
        f"$ tokenvault {shown} --role {role}", 96, break_long_words=False, break_on_hyphens=False
    )
    print(" \\\n    ".join(lines))
    done = subprocess.run(
        [str(TOKENVAULT), *arguments, "--dev", str(directory / "environment"), "--role", role],
        capture_output=True,
        text=True,
        check=False,
    )
    printed = (done.stdout + done.stderr).replace(f"{directory}{os.sep}", "")
    print(printed, end="")
    if done.returncode != status:
        raise UnexpectedError(f"exit code {done.returncode} where {status} was expected")
    return printed


def _short(argument: str, directory: Path) -> str:
    return argument.replace(f"{directory}{os.sep}", "").replace(str(SAMPLE), SAMPLE.name)


def chosen(columns: dict[str, str]) -> list[str]:
    """Returns the options that choose columns."""
    pairs = (name if name == field else f"{name}={field}" for name, field in columns.items())
    return [word for pair in pairs for word in ("--column", pair)]


def detokenize(source: Path, output: Path, names: Sequence[str]) -> list[str]:
    """Returns the command that detokenizes columns of a file."""
    columns = chosen({name: COLUMNS[name] for name in names})
    return ["detokenize", str(source), *columns, "-o", str(output)]


def write_excerpt(tokens: Path, excerpt: Path) -> Path:
    """Copies the first four rows of the tokenized file."""
    rows = read(tokens)[:4]
    with excerpt.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return excerpt


def originals_of(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows of the sample file with the same customers."""
    by_id = {row["customer_id"]: row for row in read(SAMPLE)}
    return [by_id[row["customer_id"]] for row in rows]


def read(path: Path) -> list[Row]:
    """Reads a CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def title(text: str) -> None:
    """Prints a heading."""
    print(f"\n== {text}", flush=True)


def expect(condition: bool, text: str) -> None:
    """Prints a check that holds; raises UnexpectedError for one that does not."""
    if not condition:
        raise UnexpectedError(f"this does not hold: {text}")
    print(f"   ok: {text}", flush=True)


def table(rows: Sequence[Row], names: Sequence[str]) -> None:
    """Prints columns of rows."""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in ({name: name for name in names}, *rows):
        print("   " + "  ".join(row[name].ljust(widths[name]) for name in names).rstrip())


if __name__ == "__main__":
    sys.exit(main())
