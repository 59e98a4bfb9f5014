"""What the benches put in the place of a step is there, and is called as the step is."""

from __future__ import annotations

import inspect

import pytest

from tests.bench.baseline_server import CUT, nothing
from tests.bench.bench_columns import STEPS


@pytest.mark.parametrize(("name", "owner", "attribute"), STEPS)
def test_a_step_that_is_timed_exists(name: str, owner: object, attribute: str) -> None:
    assert callable(getattr(owner, attribute))


@pytest.mark.parametrize(("owner", "name", "instead"), CUT)
def test_what_is_cut_out_exists_and_is_called_alike(
    owner: type, name: str, instead: object
) -> None:
    real = getattr(owner, name)
    assert callable(real)
    assert callable(instead)
    if instead is not nothing:
        asked, answered = (
            list(inspect.signature(each).parameters.values()) for each in (real, instead)
        )
        assert len(asked) == len(answered)
        for one, other in zip(asked, answered, strict=True):
            assert one.default == other.default
