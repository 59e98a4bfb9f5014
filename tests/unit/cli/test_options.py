"""A command takes groups of options as one parameter each; typer sees every option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from vault.cli.options import with_option_groups


@dataclass(frozen=True, slots=True)
class Size:
    wide: Annotated[int, typer.Option(help="How wide.", envvar="TEST_WIDE")]
    high: Annotated[int, typer.Option("--height", help="How high.")] = 2


app = typer.Typer(rich_markup_mode=None)


@app.command()
@with_option_groups
def draw(
    name: Annotated[str, typer.Argument()],
    *,
    loud: bool = False,
    size: Size,
    after: Annotated[str, typer.Option()] = "end",
) -> None:
    """Draws."""
    typer.echo(f"{name} {loud} {size} {after}")


def run(*words: str, **environment: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, words, env=environment)
    return found.exit_code, found.output


def test_a_group_is_made_of_its_options() -> None:
    assert run("box", "--wide", "1", "--height", "4", "--loud") == (
        0,
        "box True Size(wide=1, high=4) end\n",
    )


def test_defaults_and_variables_are_those_of_the_options() -> None:
    assert run("box", TEST_WIDE="7") == (0, "box False Size(wide=7, high=2) end\n")


def test_an_option_without_a_default_is_required() -> None:
    code, output = run("box")
    assert code == 2
    assert "--wide" in output


def test_options_stand_where_the_group_does() -> None:
    code, output = run("--help")
    assert code == 0
    places = [output.index(option) for option in ("--loud", "--wide", "--height", "--after")]
    assert places == sorted(places)
    assert "Draws." in output
