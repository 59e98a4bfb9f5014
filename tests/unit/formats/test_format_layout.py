from __future__ import annotations

import re

import pytest

from vault.formats.base.layout import Layout, apply_layout, bare_layout, fold_case, split_separators

GAP = re.compile(r"[ -]+")


@pytest.mark.parametrize(
    ("text", "core", "gaps"),
    [
        ("abc", "abc", ()),
        ("a-bc", "abc", ((1, "-"),)),
        (" -a b- ", "ab", ((0, " -"), (1, " "), (2, "- "))),
        ("--", "", ((0, "--"),)),
    ],
)
def test_split_tells_gaps_by_index_into_the_core(
    text: str, core: str, gaps: tuple[tuple[int, str], ...]
) -> None:
    assert split_separators(text, GAP) == (core, gaps)
    assert apply_layout(core, Layout(len(core), gaps)) == text


@pytest.mark.parametrize(
    ("text", "folded", "capitals"),
    [
        ("Marie", "marie", (0,)),
        ("marie", "marie", ()),
        ("Éva", "éva", (0,)),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ", tuple(range(8))),  # by character: no final sigma
        ("Straße", "straße", (0,)),
        ("ẞ", "ẞ", ()),  # its lower case goes back to SS
        ("İ", "İ", ()),  # its lower case is two characters
        ("ǅ", "ǅ", ()),  # a title-case letter
        ("\u212a", "\u212a", ()),  # the Kelvin sign's lower case is the letter k
        ("𐐀", "𐐨", (0,)),  # beyond the first plane
    ],
)
def test_fold_takes_only_what_comes_back(text: str, folded: str, capitals: tuple[int, ...]) -> None:
    assert fold_case(text) == (folded, capitals)
    assert apply_layout(folded, Layout(len(text), (), capitals)) == text


def test_a_longer_core_keeps_inner_gaps_and_moves_the_trailing_one_to_its_end() -> None:
    layout = Layout(2, ((0, "-"), (1, " "), (2, "-")), (0,))
    assert apply_layout("abcde", layout) == "-A bcde-"


def test_added_characters_follow_the_case_of_the_last_one() -> None:
    assert apply_layout("abcde", Layout(2, (), (0, 1))) == "ABCDE"
    assert apply_layout("abcde", Layout(2, (), (0,))) == "Abcde"


def test_a_shorter_core_drops_what_lies_beyond_its_end() -> None:
    layout = Layout(5, ((1, " "), (4, "-"), (5, " ")), (0, 4))
    assert apply_layout("ab", layout) == "A b- "


def test_a_capital_of_several_characters_is_left_alone() -> None:
    assert apply_layout("ßa", Layout(2, (), (0, 1))) == "ßA"


def test_layouts_are_quiet_and_frozen() -> None:
    layout = Layout(3, ((1, "~"),))
    assert "~" not in repr(layout)
    with pytest.raises(AttributeError):
        layout.length = 4  # type: ignore[misc]
    assert bare_layout(3) == Layout(3)
