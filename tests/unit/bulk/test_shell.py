"""What a message says to type is read back by a shell as what was meant."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from collections.abc import Sequence

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from vault.bulk import CsvError, CsvOptions, Summary, convert_csv
from vault.bulk.shell import shell_word
from vault.cli.csv_options import parse_columns, warning_lines
from vault.client import Column

STRANGE = [
    *("\\N", "a b", "it's", "Card\u00a0Number", "a\tb", "a\\b", "\x1b[2J", "\u200b", "$HOME"),
    *("\ufeffid", "it's\n\\x41", "\udce9t\u00e9", "-x", "1", "f\u00fcr"),
]


def as_bash_reads(words: str) -> str:
    """The last word of a line, as a program gets it."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words}".encode("utf-8", "surrogateescape")],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[-2]


@pytest.mark.parametrize("text", STRANGE)
def test_bash_reads_back_what_was_meant(text: str) -> None:
    assert as_bash_reads(shell_word(text)) == text


@given(st.text())
def test_what_can_be_seen_is_read_back_by_any_shell(text: str) -> None:
    word = shell_word(text)
    assert word.isprintable()
    if text.isprintable():
        assert shlex.split(word) == [text]


@pytest.mark.parametrize("marker", ["\\N", "N/A", "(null)"])
def test_the_hint_about_null_markers_can_be_pasted(marker: str) -> None:
    summary = Summary()
    summary.null_like["card", marker] = 1
    (hint,) = warning_lines(summary)
    found = re.search(r"--null (.*) leaves", hint)
    assert found is not None
    assert shlex.split(found[1]) == [marker]


@pytest.mark.parametrize("name", ["Card\u00a0Number", "Card\tNumber", "CARD  Number"])
def test_the_hint_about_a_header_can_be_pasted(name: str) -> None:
    def answer(_: str, cells: Sequence[str]) -> Column:
        return Column(["x"] * len(cells), {}, 0)

    def convert(name: str, source: bytes) -> None:
        options = CsvOptions(parse_columns([f"{name}=card_number"]), ",")
        convert_csv(answer, io.BytesIO(source), io.BytesIO(), options)

    source = f"id,{name}\n1,2\n".encode()
    with pytest.raises(CsvError) as caught:
        convert("card number", source)
    convert(as_bash_reads(caught.value.message.partition("choose it as ")[2]), source)


@pytest.mark.parametrize("pair", ["=\\N", "it's \u00a0="])
def test_an_option_is_quoted_back_as_it_was_typed(pair: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        parse_columns([pair])
    assert f"--column {shell_word(pair)} is not" in caught.value.message
