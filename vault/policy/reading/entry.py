"""One value of the policy file: read as the type that is expected, or recorded as a problem.

Problems are collected, not raised one by one: whoever corrects the file sees all of them
at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import TypeVar

import yaml

from vault.policy.problem import Problem, position

__all__ = ["Entry", "did_you_mean", "has_number", "listed", "may_be_value", "quoted"]

MAX_QUOTED = 40

_MAX_DIGITS = 5
_TAG = "tag:yaml.org,2002:"
_KINDS = {
    f"{_TAG}int": "a number",
    f"{_TAG}float": "a decimal number",
    f"{_TAG}bool": "true or false",
    f"{_TAG}null": "empty",
    f"{_TAG}timestamp": "a date",
    f"{_TAG}str": "text",
    f"{_TAG}seq": "a list",
    f"{_TAG}map": "a mapping",
}
_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_TRUTH = {"true": True, "false": False}

E = TypeVar("E", bound=Enum)
T = TypeVar("T")


class Entry:
    """A value in the file, its place, and the list that its problems go to.

    Every reader returns None (or nothing) after recording a problem, so that reading
    goes on and finds the next one.
    """

    __slots__ = ("_node", "_place", "_problems", "path")

    def __init__(
        self, node: yaml.Node, path: str, problems: list[Problem], key: yaml.Node | None = None
    ) -> None:
        self._node = node
        self._problems = problems
        self.path = path
        # A block begins on the line after its key: the key is where people look.
        is_block = isinstance(node, yaml.CollectionNode) and not node.flow_style
        self._place = position((key if key and is_block else node).start_mark)

    @property
    def line(self) -> int:
        """The entry's line, from 1."""
        return self._place[0]

    @property
    def problems(self) -> int:
        """How many problems the whole file has so far."""
        return len(self._problems)

    def fail(self, message: str) -> None:
        """Records a problem of this entry."""
        self._problems.append(Problem(*self._place, self.path, message))

    def is_mapping(self) -> bool:
        """Returns whether the entry is a mapping; records nothing."""
        return isinstance(self._node, yaml.MappingNode) and self._node.tag == f"{_TAG}map"

    def mapping(self) -> dict[str, Entry]:
        """Returns a mapping's entries by key, in file order; empty after a problem."""
        if not self.is_mapping():
            self._mistaken("a mapping")
            return {}
        found: dict[str, Entry] = {}
        pairs: list[tuple[yaml.Node, yaml.Node]] = self._node.value
        for key_node, value in pairs:
            key = Entry(key_node, self.path, self._problems)
            name = key._key()
            if name is None:
                continue
            if name in found:
                key.fail(f"{quoted(name)} is here twice: keep one of them")
                continue
            found[name] = Entry(value, _join(self.path, name), self._problems, key_node)
        return found

    def section(
        self,
        known: Collection[str],
        *,
        required: Collection[str] = (),
        reserved: Mapping[str, str] | None = None,
    ) -> dict[str, Entry]:
        """Returns a mapping's entries, refusing keys that are unknown or not built yet.

        Args:
            known: the keys that may be there.
            required: those of them that must be.
            reserved: keys that are designed but not built, and what leaving them out means.
        """
        if not self.is_mapping():
            self._mistaken("a mapping")
            return {}
        entries = self.mapping()
        for name in required:
            if name not in entries:
                self.fail(f"has no {quoted(name)}: add it")
        for name in [name for name in entries if name not in known]:
            entries.pop(name).fail(_refused_key(name, known, reserved or {}))
        return entries

    def items(self) -> list[Entry]:
        """Returns a list's entries; empty after a problem, and an empty list is one."""
        if not isinstance(self._node, yaml.SequenceNode) or self._node.tag != f"{_TAG}seq":
            self._mistaken("a list")
            return []
        nodes: list[yaml.Node] = self._node.value
        if not nodes:
            self.fail("is an empty list: name at least one, or leave the key out")
        return [Entry(n, f"{self.path}[{i}]", self._problems) for i, n in enumerate(nodes)]

    def text(self) -> str | None:
        """Returns a string, exactly as written."""
        if not isinstance(self._node, yaml.ScalarNode):
            self._mistaken("text")
            return None
        if self._node.tag == f"{_TAG}str":
            return str(self._node.value)
        if self._node.tag == f"{_TAG}null":
            self._mistaken("text")
            return None
        kind = _KINDS.get(self._node.tag, "something else")
        self.fail(f"must be text, and YAML reads this as {kind}: put it in quotes")
        return None

    def integer(self, least: int, most: int) -> int | None:
        """Returns a whole number from ``least`` to ``most``, written in plain decimal."""
        if not isinstance(self._node, yaml.ScalarNode) or self._node.tag != f"{_TAG}int":
            self._mistaken(f"a whole number from {least} to {most}")
            return None
        # YAML 1.1 also has 0x1F, 0b1, 017 (octal) and 1:30 (ninety): nobody means those.
        written = str(self._node.value)
        if not _WHOLE.fullmatch(written) or not least <= int(written) <= most:
            self.fail(f"must be a whole number from {least} to {most}")
            return None
        return int(written)

    def boolean(self) -> bool | None:
        """Returns true or false; YAML's yes, no, on and off are refused."""
        if isinstance(self._node, yaml.ScalarNode) and self._node.tag == f"{_TAG}bool":
            truth = _TRUTH.get(str(self._node.value))
            if truth is not None:
                return truth
        self._mistaken("true or false")
        return None

    def choice(self, kind: type[E], *, reserved: Collection[str] = ()) -> E | None:
        """Returns the member of an enumeration of strings that the entry names."""
        return self.one_of({str(member.value): member for member in kind}, reserved=reserved)

    def one_of(self, names: Mapping[str, T], *, reserved: Collection[str] = ()) -> T | None:
        """Returns what the entry names among ``names``; ``reserved`` are known and refused."""
        name = self.text()
        if name is None:
            return None
        if name in names:
            return names[name]
        if name in reserved:
            self.fail(f"{quoted(name)} is not built yet; {_allowed(names)}")
        else:
            self.fail(f"{quoted(name)} is unknown{did_you_mean(name, names)}; {_allowed(names)}")
        return None

    def _key(self) -> str | None:
        if self._node.tag == f"{_TAG}merge":
            self.fail("YAML merge keys (<<) are refused: write it out")
            return None
        return self.text()

    def _mistaken(self, expected: str) -> None:
        kind = _KINDS.get(self._node.tag, "of a kind that a policy does not have")
        self.fail(f"must be {expected}, and is {kind}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ``: did you mean 'x'?`` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name[:MAX_QUOTED], list(known), n=1)
    return f": did you mean {quoted(near[0])}?" if near else ""


def listed(names: Iterable[str]) -> str:
    """Returns names as ``a, b, c``, sorted."""
    return ", ".join(sorted(names))


def _allowed(names: Iterable[str]) -> str:
    return f"allowed: {listed(names)}"


def _refused_key(name: str, known: Collection[str], reserved: Mapping[str, str]) -> str:
    if name in reserved:
        return f"not built yet: remove it ({reserved[name]})"
    return f"unknown key{did_you_mean(name, known)}; {_allowed(known)}"


def _join(path: str, name: str) -> str:
    plain = len(name) <= MAX_QUOTED and name.isprintable() and not may_be_value(name)
    part = name if plain else quoted(name)
    return f"{path}.{part}" if path else part


def quoted(name: str) -> str:
    """Returns a name of the file in quotes, shortened where it is no name at all.

    What may be somebody's value is left out: problems are logged and answered, and the file
    may be another one than was meant.
    """
    if may_be_value(name):
        return "'...'"
    return repr(name if len(name) <= MAX_QUOTED else name[:MAX_QUOTED] + "...")


def may_be_value(text: str) -> bool:
    """Returns whether a text looks like data (a number, an address, words), not like a name."""
    return has_number(text) or "@" in text or " " in text.strip()


def has_number(text: str) -> bool:
    """Returns whether a text has more digits than a name has."""
    return sum(char.isdigit() for char in text) > _MAX_DIGITS
