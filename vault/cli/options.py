"""Groups of options that several commands share, declared once each.

A group is a dataclass whose fields are typer options; a command takes it as one parameter::

    @app.command()
    @with_option_groups
    def verify(*, as_json: JsonOption = False, connection: ConnectionOptions) -> None:
        with connection.open(default_role="auditor") as client: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Annotated, get_type_hints

import typer

__all__ = ["JsonOption", "with_option_groups"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command whose groups are replaced by their options, for typer to read."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            parameters += _options(parameter.annotation)
        else:
            # By keyword alone: then options with a default may stand before those without.
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def flat(**values: object) -> None:
        made = {name: _take(group, values) for name, group in groups.items()}
        command(**values, **made)

    flat.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {each.name: each.annotation for each in parameters}
    return flat


def _options(group: type) -> Iterator[inspect.Parameter]:
    annotations: Mapping[str, object] = get_type_hints(group, include_extras=True)
    for field in fields(group):
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=annotations[field.name],
        )


def _take(group: type, values: dict[str, object]) -> object:
    return group(**{field.name: values.pop(field.name) for field in fields(group)})
