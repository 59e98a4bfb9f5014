"""From the policy file's text to a tree in which every entry knows its place.

YAML is composed, never constructed: the file stays nodes with marks until the sections
read them. Anchors and aliases are refused before anything is expanded, and size and depth
are bounded, so that no file can make the reader work without end.
"""

from __future__ import annotations

import yaml

from vault.policy.problem import InvalidPolicy, Problem, position
from vault.policy.reading.entry import Entry, has_number

__all__ = ["read_document"]

MAX_CHARACTERS = 1_048_576
MAX_DEPTH = 16


def read_document(text: str, source: str, problems: list[Problem]) -> Entry:
    """Reads a YAML document.

    Args:
        text: the whole file.
        source: what to call the file in messages.
        problems: where its entries record what is wrong.

    Raises:
        InvalidPolicy: it is not YAML, empty, too large, too deep, or has an alias.
    """
    if len(text) > MAX_CHARACTERS:
        raise _broken(source, 1, 1, f"larger than {MAX_CHARACTERS:,} characters")
    try:
        _refuse_unbounded(text, source)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        place = position(error.problem_mark or error.context_mark)
        # PyYAML quotes tags and escapes.
        problem = str(error.problem)
        message = "not YAML" if has_number(problem) else f"not YAML: {problem}"
        raise _broken(source, *place, message) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise _broken(source, line, column, "a control character is not allowed") from None
    except (ValueError, OverflowError):
        # PyYAML's own: an escape such as "\\UFFFFFFFF" names no character.
        raise _broken(source, 1, 1, "not YAML: an escape or a number is out of range") from None
    if node is None:
        raise _broken(source, 1, 1, "empty: a policy has at least version and fields")
    return Entry(node, "", problems)


def _refuse_unbounded(text: str, source: str) -> None:
    """Refuses aliases and depth while the file is still a flat stream of events.

    Raises:
        InvalidPolicy: it has an anchor, an alias, or nests deeper than ``MAX_DEPTH``.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            what = "YAML anchors and aliases (& and *) are refused: write it out"
        elif depth > MAX_DEPTH:
            what = f"nested deeper than {MAX_DEPTH} levels"
        else:
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            continue
        raise _broken(source, *position(event.start_mark), what)


def _broken(source: str, line: int, column: int, message: str) -> InvalidPolicy:
    return InvalidPolicy(source, [Problem(line, column, "", message)])
