"""From the settings file to the settings, or to a line per mistake."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

from vault.config.sections import Settings
from vault.errors import ConfigError

__all__ = ["load_settings"]


def load_settings(path: Path) -> Settings:
    """Reads the settings file.

    Raises:
        ConfigError: the file is missing, no TOML, or names a key or value wrongly; the
            message has a line per mistake with its key and remedy, never a value.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; write one from deploy/server.toml") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    try:
        return Settings.model_validate(tree, context={"directory": path.absolute().parent})
    except ValidationError as error:
        problems = (
            _problem(item["loc"], item["type"], item["msg"])
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems)) from None


def _problem(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in loc)
    if kind == "missing":
        return f"{key}: is missing; set it"
    if kind == "extra_forbidden":
        known = _known_keys(loc[:-1])
        close = difflib.get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    text = message.removeprefix("Value error, ")
    return f"{key}: {text}" if key else text


def _known_keys(section: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in section:
        if isinstance(part, int):
            continue  # an item of a list, whose model the list's key has led to
        inner = _section_of(model.model_fields[part].annotation)
        if inner is None:
            return []
        model = inner
    return sorted(model.model_fields)


def _section_of(annotation: object) -> type[BaseModel] | None:
    """Returns the section that a key holds: itself, optional, or as a list."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
