"""Quotes text for a shell: what a message shows can be pasted."""

from __future__ import annotations

__all__ = ["shell_word"]


def shell_word(text: str) -> str:
    """Returns text in quotes, for any POSIX shell; ``$'...'`` where part of it cannot be seen.

    Python's repr looks alike and is none: it doubles backslashes, and a shell takes its
    escapes for text.
    """
    if text.isprintable():
        return "'" + text.replace("'", "'\\''") + "'"
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(char: str) -> str:
    if char in "\\'":
        return "\\" + char
    if char.isprintable():
        return char
    # Bytes, not code points: what \u stands for depends on the shell's locale.
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
