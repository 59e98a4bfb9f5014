"""Limits: how they are read, and what they come to."""

from __future__ import annotations

import pytest

from vault.model import Action
from vault.policy.limits import Quota, window_text
from vault.policy.model import Policy
from vault.policy.reading.load import InvalidPolicy, parse_policy

FIELDS = """version: 1
fields:
  ssn: {format: us_ssn, generator: ff1}
  card: {format: card, min: 15, generator: ff1}
limits:
"""
GOOD = {
    "fields": "[ssn]",
    "actions": "[tokenize, lookup]",
    "values": "1000",
    "per": "1h",
    "by": "principal",
}


def entry(**changes: str | None) -> str:
    pairs = {**GOOD, **changes}
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items() if value) + "}"


def load(*entries: str) -> Policy:
    return parse_policy(FIELDS + "".join(f"  - {each}\n" for each in entries), "policy.yaml")


def test_a_limit_is_one_quota_for_each_field_and_action() -> None:
    policy = load(entry())
    assert policy.quotas(Action.TOKENIZE, "ssn") == (Quota(3600, 1000),)
    assert policy.quotas(Action.LOOKUP, "ssn") == (Quota(3600, 1000),)
    assert policy.quotas(Action.DETOKENIZE, "ssn") == ()
    assert policy.quotas(Action.TOKENIZE, "card") == ()


def test_a_star_is_every_field() -> None:
    policy = load(entry(fields="['*']"))
    assert policy.quotas(Action.TOKENIZE, "card") == policy.quotas(Action.TOKENIZE, "ssn") != ()


def test_several_limits_hold_together_the_smallest_of_each_window() -> None:
    policy = load(
        entry(values="5000", per="1d"), entry(values="900"), entry(), entry(values="2000")
    )
    assert policy.quotas(Action.TOKENIZE, "ssn") == (Quota(3600, 900), Quota(86_400, 5000))


@pytest.mark.parametrize(
    ("per", "seconds"), [("1s", 1), ("90m", 5400), ("24h", 86_400), ("366d", 366 * 86_400)]
)
def test_a_window_is_a_number_and_a_unit(per: str, seconds: int) -> None:
    ((quota),) = load(entry(per=per)).quotas(Action.TOKENIZE, "ssn")
    assert quota.seconds == seconds


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"fields": "[ssnn]"}, "limits[0].fields[0]", "did you mean 'ssn'"),
        ({"fields": "[ssn, ssn]"}, "limits[0].fields[1]", "twice"),
        ({"fields": None}, "limits[0]", "has no 'fields'"),
        ({"actions": "[tokenise]"}, "limits[0].actions[0]", "did you mean 'tokenize'"),
        ({"actions": "[redact]"}, "limits[0].actions[0]", "not built yet"),
        ({"actions": "[read_audit]"}, "limits[0].actions", "works on no values"),
        ({"actions": "[approve_reveal]"}, "limits[0].actions", "works on no values"),
        ({"actions": None}, "limits[0]", "has no 'actions'"),
        ({"values": "0"}, "limits[0].values", "whole number from 1"),
        ({"values": "1e6"}, "limits[0].values", "whole number"),
        ({"per": "1"}, "limits[0].per", "put it in quotes"),
        ({"per": "0h"}, "limits[0].per", "such as 1h"),
        ({"per": "1.5h"}, "limits[0].per", "such as 1h"),
        ({"per": "367d"}, "limits[0].per", "up to 366d"),
        ({"per": "1w"}, "limits[0].per", "one of s, m, h and d"),
        ({"by": "role"}, "limits[0].by", "allowed: principal"),
        ({"by": None}, "limits[0]", "has no 'by'"),
        ({"burst": "5"}, "limits[0].burst", "unknown key"),
    ],
)
def test_what_is_no_limit_is_refused(
    changes: dict[str, str | None], path: str, message: str
) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        load(entry(**changes))
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message
    assert problem.line == 6


@pytest.mark.parametrize("text", ["45s", "90m", "5h", "7d"])
def test_a_window_is_told_as_it_was_written(text: str) -> None:
    ((quota),) = load(entry(per=text)).quotas(Action.TOKENIZE, "ssn")
    assert window_text(quota.seconds) == text
