"""A smoke alarm for ciphers whose time reveals values. It proves nothing: see SECURITY.md.

Two classes of values, one fixed and one random, are enciphered by turns, and the medians of
their times compared. The bound is far above what is known of Python's integers (a percent or
two), and far below what walking to a valid check digit would show (a factor of ten).
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from statistics import median

import pytest

from vault.crypto.field_key import FieldKey, TweakInput
from vault.crypto.tweak import TWEAK_VERSIONS
from vault.formats import build_format
from vault.formats.base.luhn import luhn_check_digit
from vault.model import Generator, Storage

pytestmark = pytest.mark.soak

KEY = FieldKey(b"k" * 32, "default", "card", 1)
CARD = build_format("card", min=16, max=16)
VALUES = 200
ROUNDS = 40
BOUND = 0.15
TRIES = 3
Work = Callable[[Generator, Sequence[str]], None]


def card(body: str) -> str:
    return body + luhn_check_digit(body, "", 0)


def encipher(generator: Generator, cores: Sequence[str]) -> None:
    for core in cores:
        plan = CARD.token_plan(core, Storage.VAULTED)
        plan.build(
            KEY.encipher_texts(
                generator,
                plan.alphabet,
                [plan.text],
                [TweakInput("field", plan.kept, 0)],
                tweak_version=TWEAK_VERSIONS[generator][0],
            )[0]
        )


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def leaky(generator: Generator, cores: Sequence[str]) -> None:
    """Takes two fifths longer for values of which many begin with a high digit."""
    encipher(generator, cores)
    encipher(generator, [core for core in cores if core[0] > "4"][: len(cores) * 2 // 5])


def difference(
    generator: Generator, fixed: str, rng: random.Random, work: Work = encipher
) -> float:
    """Returns by how much the medians differ, as a share of the smaller."""
    classes = {
        "fixed": [card(fixed)] * VALUES,
        "random": [card(f"{rng.randrange(10**15):015d}") for _ in range(VALUES)],
    }
    times: dict[str, list[float]] = {name: [] for name in classes}
    for cores in classes.values():
        work(generator, cores)
    gc.disable()
    try:
        for _ in range(ROUNDS):
            # In an order of its own each time: what comes first is slower or quicker.
            for name in rng.sample(sorted(classes), k=2):
                times[name].append(seconds(lambda: work(generator, classes[name])))  # noqa: B023
    finally:
        gc.enable()
    medians = sorted(median(each) for each in times.values())
    return medians[1] / medians[0] - 1


@pytest.mark.parametrize("generator", [Generator.FF1, Generator.FF3_1])
@pytest.mark.parametrize("fixed", ["0" * 15, "9" * 15, "411111111111111"])
def test_no_value_takes_much_longer_than_others(generator: Generator, fixed: str) -> None:
    rng = random.Random(7)
    # A busy machine disturbs one try, not all.
    assert min(difference(generator, fixed, rng) for _ in range(TRIES)) < BOUND


def test_it_would_be_seen() -> None:
    rng = random.Random(7)
    assert min(difference(Generator.FF1, "0" * 15, rng, leaky) for _ in range(TRIES)) > BOUND
