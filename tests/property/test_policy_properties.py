"""Properties of the policy: views hide, decisions fail closed, the reader never crashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import PolicyError
from vault.model import Action, Principal
from vault.policy.decide import Allow, decide
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.policy.roles import FIELDLESS
from vault.policy.views import FULL, View

FIELDS = ("card", "ssn")
VIEWS = ("full", "token", "last2")
FIELD_ACTIONS: list[Action] = [action for action in Action if action not in FIELDLESS]
# Whoever may request a reveal needs others who approve: tests of reveals have that.
ALLOWED_ACTIONS = [action for action in FIELD_ACTIONS if action is not Action.REQUEST_REVEAL]
WHO = Principal("spiffe", "spiffe://example.org/x")


@given(
    core=st.text(max_size=40),
    first=st.integers(0, 25),
    last=st.integers(0, 25),
)
def test_a_view_keeps_the_length_and_hides_enough(core: str, first: int, last: int) -> None:
    shown = View(first, last, "\N{BULLET}").apply(core)
    assert len(shown) == len(core)
    changed = [place for place in range(len(core)) if shown[place] == "\N{BULLET}"]
    as_a_card = first <= 6 and last <= 4 and len(changed) >= 5
    assert 2 * len(changed) >= len(core) or as_a_card
    assert all(shown[place] == core[place] for place in range(len(core)) if place not in changed)


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, set[tuple[str, Action, str]], set[tuple[str, Action]]]:
    """A rule as YAML, what it allows (field, action, view) and what it denies."""
    names = draw(st.sampled_from([["card"], ["ssn"], ["card", "ssn"], ["*"]]))
    allow = draw(st.sets(st.sampled_from(ALLOWED_ACTIONS)))
    deny = draw(st.sets(st.sampled_from(FIELD_ACTIONS))) - allow
    if not allow | deny:
        allow = {Action.TOKENIZE}
    viewed = allow & {Action.DETOKENIZE, Action.DECRYPT}
    view = draw(st.sampled_from(VIEWS)) if viewed else ""
    if Action.DECRYPT in viewed:
        view = FULL
    parts = [f"fields: [{', '.join(repr(name) for name in names)}]"]
    parts += [f"allow: [{', '.join(allow)}]"] if allow else []
    parts += [f"deny: [{', '.join(deny)}]"] if deny else []
    parts += [f"view: {view}"] if view else []
    meant = FIELDS if names == ["*"] else names
    granted: set[tuple[str, Action, str]] = {
        (f, a, view if a in viewed else "") for f in meant for a in allow
    }
    return "{" + ", ".join(parts) + "}", granted, {(f, a) for f in meant for a in deny}


def written(roles: list[str]) -> Policy:
    text = (
        "version: 1\nfields:\n"
        "  card: {format: card, generator: ff1, views: {last2: {show_last: 2}}}\n"
        "  ssn: {format: us_ssn, generator: ff1, views: {last2: {show_last: 2}}}\n"
        "roles:\n"
    )
    text += "".join(f"  r{i}: [{rule}]\n" for i, rule in enumerate(roles))
    held = ", ".join(f"r{i}" for i in range(len(roles)))
    text += f"principals: [{{spiffe: '{WHO.subject}', roles: [{held}]}}]\n"
    return parse_policy(text, "policy.yaml")


@given(st.lists(rules(), min_size=1, max_size=5))
def test_a_decision_is_what_the_rules_say(
    drawn: list[tuple[str, set[tuple[str, Action, str]], set[tuple[str, Action]]]],
) -> None:
    policy = written([text for text, _, _ in drawn])
    denied = set().union(*(deny for _, _, deny in drawn))
    for name in FIELDS:
        for action in FIELD_ACTIONS:
            views = {
                (view, f"r{i}")
                for i, (_, granted, _) in enumerate(drawn)
                for f, a, view in granted
                if (f, a) == (name, action) and (f, a) not in denied
            }
            for asked in ("", *VIEWS):
                decision = decide(policy, WHO, action, name, asked)
                assert isinstance(decision, Allow) == allowed(action, {v for v, _ in views}, asked)
                if isinstance(decision, Allow):
                    assert decision.roles
                    assert set(decision.roles) <= {role for _, role in views}


def allowed(action: Action, views: set[str], asked: str) -> bool:
    """The rule of views, written the other way round."""
    if not views:
        return False
    if action is Action.DETOKENIZE:
        if asked == "":
            return len(views) == 1
        return asked == "token" or asked in views or FULL in views
    if action is Action.DECRYPT:
        return asked in ("", FULL)
    return asked == ""


SCALARS = [
    *("1", "-1", "0x1F", "1.5", "true", "yes", "''", "'*'", "~", "2026-11-23"),
    *("card", "us_ssn", "ff1", "random", "tokenize", "detokenize", "full", "spiffe://a/b"),
    "!!python/name:os",
]
KEYS = [
    *("version", "fields", "roles", "principals", "format", "generator", "keep", "views"),
    *("allow", "deny", "view", "spiffe", "jwt", "alphabet", "min", "a", "1", "<<"),
]
yaml_values = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{k}: {v}" for k, v in pairs.items()) + "}"
        ),
    ),
    max_leaves=12,
)


def refusal(text: str) -> str:
    """Returns the message a text is refused with, or nothing where it is a policy."""
    try:
        parse_policy(text, "policy.yaml")
    except PolicyError as error:
        return error.message
    return ""


@given(st.dictionaries(st.sampled_from(["fields", "roles", "principals"]), yaml_values))
def test_no_tree_of_yaml_crashes_the_reader(sections: dict[str, str]) -> None:
    text = "version: 1\n" + "".join(f"{key}: {value}\n" for key, value in sections.items())
    if "fields" not in sections:
        text += "fields: {a: {format: card, generator: ff1}}\n"
    message = refusal(text)
    assert all(line.startswith("policy.yaml:") for line in message.splitlines())


@given(st.text(max_size=200))
def test_no_text_crashes_the_reader(text: str) -> None:
    with pytest.raises(PolicyError, match=r"^policy\.yaml:"):
        parse_policy(text, "policy.yaml")
