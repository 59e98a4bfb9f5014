"""How much is left of a field's tokens: tried, not counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.token_rows import NewToken, insert_rows
from vault.crypto.randomness import random_text
from vault.formats import FORMATS, FiniteFormatSpace, OptionValues, build_format
from vault.model import DEFAULT_TENANT, Generator, Scope, TokenSpace
from vault.policy.reading.load import parse_policy
from vault.service.format_space import format_space_left
from vault.testing.store import MemoryUnitOfWork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault.policy.model import Policy

POLICY = """
version: 1
fields:
  day: {format: date, earliest: "2000-01-01", latest: "2000-04-09", generator: random}
  ssn: {format: us_ssn, token_check: invalid, generator: random}
  million: {format: date, generator: ff1}
  name: {format: person_name, generator: random}
"""


def left(work: MemoryUnitOfWork, policy: Policy) -> Mapping[str, float]:
    return work.run(
        lambda transaction: format_space_left(transaction.tokens, policy, DEFAULT_TENANT)
    )


def fill(work: MemoryUnitOfWork, space: TokenSpace, tokens: list[str]) -> None:
    work.run(
        lambda transaction: insert_rows(transaction.tokens, space, [new(each) for each in tokens])
    )


def new(token: str) -> NewToken:
    return NewToken(
        token=token,
        ciphertext=b"c",
        mac=None,
        index_version=0,
        key_version=1,
        generator=Generator.RANDOM,
        scope=Scope.NONE,
        tweak_counter=0,
    )


def test_what_is_left_is_the_share_of_free_tokens() -> None:
    policy, work = parse_policy(POLICY, "p"), MemoryUnitOfWork()
    assert left(work, policy) == {"day": 1.0, "ssn": 1.0}
    # January and February 2000 of a hundred days.
    days = [
        f"2000{month}{day:02d}"
        for month, last in (("01", 31), ("02", 29))
        for day in range(1, last + 1)
    ]
    for tenant, field in ((DEFAULT_TENANT, "day"), (DEFAULT_TENANT, "ssn"), ("other", "ssn")):
        fill(work, TokenSpace(tenant, field), days)
    # All hundred tokens are drawn in 2,000 draws (the chance of a miss is 2 in 10^7).
    assert left(work, policy) == {"day": pytest.approx(0.4, abs=0.02), "ssn": 1.0}


OPTIONS: dict[str, OptionValues] = {
    "postcode": {"region": "US"},
    "us_ssn": {"token_check": "invalid"},
    "template": {"template": "{a:digits:6}"},
    "alphabet": {"alphabet": "digits", "min": 6},
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_is_drawn_is_a_token_and_there_are_as_many_as_said(name: str) -> None:
    made = build_format(name, **OPTIONS.get(name, {}))
    form: object = made
    if not isinstance(form, FiniteFormatSpace):
        assert name not in {"us_ssn", "us_itin", "us_routing", "date", "postcode"}
        return
    size, plan = form.space()
    assert (
        size
        == {
            "date": 10**6,
            "us_ssn": 57_000_000,
            "us_itin": 44_000_000,
            "us_routing": 10**8,
            "postcode": 10**5,
        }[name]
    )
    for _ in range(100):
        core = plan.build(random_text(plan.alphabet, plan.length))
        assert made.parse_token(core).core == core


def test_an_ssn_that_keeps_digits_draws_all_endings() -> None:
    form: object = build_format("us_ssn", token_check="invalid", keep_last=4)
    assert isinstance(form, FiniteFormatSpace)
    size, plan = form.space()
    endings = {plan.build(random_text(plan.alphabet, plan.length))[-4:] for _ in range(300)}
    assert size == 57_000_000
    assert len(endings) > 200
