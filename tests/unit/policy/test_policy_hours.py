"""Hours and networks: what is read, what is refused, and how a call is judged by them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from zoneinfo import ZoneInfo

import pytest

from vault.errors import Reason
from vault.model import Action, Principal
from vault.policy.conditions import CallContext
from vault.policy.decide import Allow, Deny, decide
from vault.policy.explain import explain
from vault.policy.hours import Hours, Weekday
from vault.policy.lint import lint
from vault.policy.model import Policy
from vault.policy.reading.load import InvalidPolicy, Problem, parse_policy

FIELDS = "version: 1\nfields:\n  card: {format: card, generator: random}\n"
WHO = Principal("spiffe", "spiffe://example.org/x")
FULL = "fields: [card], allow: [detokenize], view: full"
OFFICE = "{days: [mon, tue, wed, thu, fri], from: '08:00', to: '18:00', zone: Europe/Berlin}"
WORKDAYS = frozenset({Weekday.MON, Weekday.TUE, Weekday.WED, Weekday.THU, Weekday.FRI})
EVERY_DAY = frozenset(Weekday)
MONDAY = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
HOME = ip_address("10.1.2.3")


def policy(*rules: str) -> Policy:
    roles = "".join(f"  r{at}: [{{{rule}}}]\n" for at, rule in enumerate(rules))
    held = ", ".join(f"r{at}" for at in range(len(rules)))
    principals = f"principals: [{{spiffe: '{WHO.subject}', roles: [{held}]}}]\n"
    return parse_policy(f"{FIELDS}roles:\n{roles}{principals}", "policy.yaml")


def problem(rule: str) -> Problem:
    with pytest.raises(InvalidPolicy) as caught:
        policy(rule)
    (found,) = caught.value.problems
    return found


def reason(
    made: Policy,
    *,
    time: datetime | None = MONDAY,
    address: str | None = str(HOME),
    action: Action = Action.DETOKENIZE,
    field: str | None = "card",
) -> Reason | None:
    context = CallContext(time=time, address=None if address is None else ip_address(address))
    decision = decide(made, WHO, action, field, context=context)
    return decision.reason if isinstance(decision, Deny) else None


def local(
    zone: str, year: int, month: int, day: int, hour: int, minute: int, fold: int = 0
) -> datetime:
    return datetime(year, month, day, hour, minute, fold=fold, tzinfo=ZoneInfo(zone)).astimezone(
        UTC
    )


def test_office_hours_are_those_of_the_zone() -> None:
    made = policy(f"{FULL}, hours: {OFFICE}")
    assert reason(made) is None
    # Berlin is one hour ahead of UTC in November, two in July; the end is left out.
    for month, early, late in ((11, 7, 17), (7, 6, 16)):
        first = datetime(2026, month, 23 if month == 11 else 20, early, 0, tzinfo=UTC)
        last = first.replace(hour=late)
        assert reason(made, time=first) is None
        assert reason(made, time=first - timedelta(seconds=1)) is Reason.OUTSIDE_HOURS
        assert reason(made, time=last - timedelta(seconds=1)) is None
        assert reason(made, time=last) is Reason.OUTSIDE_HOURS
    assert reason(made, time=MONDAY + timedelta(days=5)) is Reason.OUTSIDE_HOURS


def test_a_call_at_no_known_time_is_outside() -> None:
    assert reason(policy(f"{FULL}, hours: {OFFICE}"), time=None) is Reason.OUTSIDE_HOURS


def test_a_night_belongs_to_the_day_that_it_begins_on() -> None:
    night = Hours(frozenset({Weekday.FRI}), 22 * 60, 6 * 60, "UTC")
    friday = datetime(2026, 11, 27, 22, 0, tzinfo=UTC)
    assert night.contain(friday)
    assert not night.contain(friday - timedelta(minutes=1))
    assert night.contain(friday + timedelta(hours=8) - timedelta(seconds=1))
    assert not night.contain(friday + timedelta(hours=8))
    assert not night.contain(friday - timedelta(days=1))
    assert not night.contain(friday + timedelta(days=1))
    assert not night.contain(friday - timedelta(hours=20))  # Friday, 02:00: Thursday's night


def test_a_whole_day_has_no_gap() -> None:
    whole = Hours(frozenset({Weekday.SUN}), 0, 1440, "Europe/Berlin")
    start = local("Europe/Berlin", 2026, 3, 29, 0, 0)
    # The day on which clocks are set forward has 23 hours, and the other one 25.
    assert [whole.contain(start + timedelta(hours=n)) for n in (-1, 0, 12, 22, 23)] == [
        *(False, True, True, True, False)
    ]
    start = local("Europe/Berlin", 2026, 10, 25, 0, 0)
    assert [whole.contain(start + timedelta(hours=n)) for n in (-1, 0, 23, 24, 25)] == [
        *(False, True, True, True, False)
    ]


def test_what_lies_in_the_hour_left_out_does_not_happen() -> None:
    # On 29 March 2026, 02:00 to 03:00 is left out in Berlin: at 01:00 UTC it is 03:00.
    early = Hours(EVERY_DAY, 1 * 60, 2 * 60 + 30, "Europe/Berlin")
    assert early.contain(datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC))
    assert not early.contain(datetime(2026, 3, 29, 1, 0, tzinfo=UTC))
    never = Hours(EVERY_DAY, 2 * 60 + 15, 2 * 60 + 45, "Europe/Berlin")
    day = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    assert not any(never.contain(day + timedelta(minutes=n)) for n in range(-60, 1380))


def test_the_hour_that_comes_twice_counts_twice() -> None:
    # On 25 October 2026 it is 02:00 in Berlin at 00:00 UTC, and again at 01:00 UTC.
    hours = Hours(EVERY_DAY, 2 * 60, 2 * 60 + 30, "Europe/Berlin")
    open_at = [
        hours.contain(datetime(2026, 10, 25, hour, minute, tzinfo=UTC))
        for hour in (0, 1)
        for minute in (0, 29, 30, 59)
    ]
    assert open_at == [True, True, False, False] * 2
    assert hours.contain(local("Europe/Berlin", 2026, 10, 25, 2, 10, fold=1))


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.1.2.3", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.0.0.0", False),
        ("::10.1.2.3", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("192.168.7.9", True),
        ("192.168.8.9", False),
        ("127.0.0.1", False),
    ],
)
def test_a_call_comes_from_one_of_the_networks(address: str, inside: bool) -> None:
    networks = "[10.0.0.0/8, '2001:db8::/32', '::ffff:192.168.7.0/120']"
    made = policy(f"{FULL}, networks: {networks}")
    assert reason(made, address=address) is (None if inside else Reason.OUTSIDE_NETWORKS)


def test_a_call_from_no_network_is_outside_of_all() -> None:
    made = policy(f"{FULL}, networks: ['0.0.0.0/0', '::/0']")
    assert reason(made, address=None) is Reason.OUTSIDE_NETWORKS
    assert reason(made, address="8.8.8.8") is reason(made, address="2001::1") is None


def test_any_action_may_be_held_to_hours_and_networks() -> None:
    made = policy(
        f"fields: [card], allow: [tokenize], networks: [10.0.0.0/8], hours: {OFFICE}",
        "allow: [read_audit], networks: [10.9.0.0/16]",
    )
    assert reason(made, action=Action.TOKENIZE) is None
    assert reason(made, action=Action.TOKENIZE, address="9.9.9.9") is Reason.OUTSIDE_NETWORKS
    read = {"action": Action.READ_AUDIT, "field": None}
    assert reason(made, address="10.9.0.1", **read) is None  # type: ignore[arg-type]
    assert reason(made, **read) is Reason.OUTSIDE_NETWORKS  # type: ignore[arg-type]


def test_of_several_rules_one_suffices_and_the_nearest_says_why_not() -> None:
    made = policy(f"{FULL}, networks: [10.0.0.0/8]", f"{FULL}, hours: {OFFICE}")
    sunday = MONDAY - timedelta(days=1)
    assert reason(made, time=sunday) is None
    assert reason(made, address="9.9.9.9") is None
    assert reason(made, time=sunday, address="9.9.9.9") is Reason.OUTSIDE_HOURS


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        ("hours: {days: [mon], from: '08:00', to: '08:00', zone: UTC}", "hours", "never are"),
        ("hours: {days: [], from: '08:00', to: '18:00', zone: UTC}", "hours.days", "empty list"),
        ("hours: {days: [mo], from: '08:00', to: '18:00', zone: UTC}", "hours.days[0]", "mon"),
        (
            "hours: {days: [mon, mon], from: '08:00', to: '18:00', zone: UTC}",
            "hours.days[1]",
            "twice",
        ),
        ("hours: {days: [mon], from: '24:00', to: '18:00', zone: UTC}", "hours.from", "to '23:59'"),
        ("hours: {days: [mon], from: '8:00', to: '18:00', zone: UTC}", "hours.from", "time of day"),
        ("hours: {days: [mon], from: '08:00', to: '24:01', zone: UTC}", "hours.to", "to '24:00'"),
        ("hours: {days: [mon], from: '08:00', to: 18:00, zone: UTC}", "hours.to", "in quotes"),
        (
            "hours: {days: [mon], from: '08:00', to: '18:00', zone: Berlin}",
            "hours.zone",
            "no time zone",
        ),
        (
            "hours: {days: [mon], from: '08:00', to: '18:00', zone: localtime}",
            "hours.zone",
            "no time zone",
        ),
        (
            "hours: {days: [mon], from: '08:00', to: '18:00', zone: ../UTC}",
            "hours.zone",
            "no time zone",
        ),
        ("hours: {days: [mon], from: '08:00', to: '18:00'}", "hours", "has no 'zone'"),
        ("hours: always", "hours", "must be a mapping"),
        ("networks: []", "networks", "empty list"),
        ("networks: [10.0.0.0/8, 10.0.0.0/8]", "networks[1]", "twice"),
        ("networks: ['10.0.0.0/8', '::ffff:10.0.0.0/104']", "networks[1]", "twice"),
        ("networks: [10.0.0.1/8]", "networks[0]", "CIDR"),
        ("networks: [example.org]", "networks[0]", "CIDR"),
        ("networks: [10.0.0.0/33]", "networks[0]", "CIDR"),
        ("networks: [224.0.0.0/4]", "networks[0]", "no caller comes from"),
        ("networks: ['::/128']", "networks[0]", "no caller comes from"),
    ],
)
def test_a_condition_that_nobody_can_meet_is_refused(rule: str, path: str, message: str) -> None:
    found = problem(f"{FULL}, {rule}")
    assert found.path == f"roles.r0[0].{path}"
    assert message in found.message


def test_a_deny_has_no_hours() -> None:
    assert (
        "a deny asks nothing"
        in problem(f"fields: [card], deny: [detokenize], hours: {OFFICE}").message
    )


def test_a_range_of_every_address_is_warned_of() -> None:
    assert any(
        each.path == "roles.r0[0].networks" for each in lint(policy(f"{FULL}, networks: ['::/0']"))
    )
    assert not any(
        "networks" in each.path for each in lint(policy(f"{FULL}, networks: [10.0.0.0/8]"))
    )


def test_explain_tells_of_both() -> None:
    made = policy(f"{FULL}, networks: [10.0.0.0/8], hours: {OFFICE}")
    context = CallContext(time=MONDAY, address=HOME)
    lines = list(explain(made, WHO, Action.DETOKENIZE, "card", context=context).lines("p.yaml"))
    assert lines[0] == "ALLOWED by r0, view full"
    assert lines[-1].endswith(
        "view full, networks 10.0.0.0/8, hours mon tue wed thu fri 08:00-18:00 Europe/Berlin"
    )
    assert isinstance(decide(made, WHO, Action.DETOKENIZE, "card", context=context), Allow)
