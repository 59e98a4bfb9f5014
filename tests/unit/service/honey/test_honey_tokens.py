"""Declaring honey tokens, and what the database's owner can do about them."""

from __future__ import annotations

import pytest

from tests.unit.service.honey.conftest import Site
from vault.errors import Reason, TokenvaultError
from vault.model import TokenSpace

VALUES = ["219-09-9999", "219-09-9998", "219-09-9997"]


def refusal(site: Site, tokens: list[str], field: str = "ssn", label: str = "crm") -> Reason:
    call = site.call("AddHoneyTokens", "keeper")
    with pytest.raises(TokenvaultError) as caught:
        site.honey.add(call, field, label, tokens)
    return caught.value.reason


def touches(site: Site, token: str) -> int:
    site.read([token])
    return len(site.alarm.take())


def test_a_set_is_listed_by_its_label_and_never_by_its_tokens(watching: Site) -> None:
    tokens = watching.plant("ssn", VALUES, honey=2)
    (listed,) = watching.honey.list(watching.call("ListHoneyTokens", "keeper"))
    honey = listed.honey
    assert (honey.field, honey.label, len(honey.tokens), honey.active) == ("ssn", "crm", 2, True)
    assert tokens[0] not in repr(listed)
    assert watching.work.events[-1].counts == {"ok": 1}


def test_the_record_of_a_set_has_nothing_to_find_its_tokens_by(watching: Site) -> None:
    watching.plant("ssn", VALUES)
    declared = next(each for each in watching.work.events if each.rpc == "AddHoneyTokens")
    assert declared.honey_set
    assert declared.token_digest == b""


def test_two_rows_of_the_same_tokens_have_nothing_in_common(watching: Site) -> None:
    tokens = watching.plant("ssn", VALUES)
    watching.add("ssn", tokens[:1])
    rows = watching.work.run(
        lambda each: each.honey.rows("default", list(each.honey.macs("default")))
    )
    assert len({row.sealed for row in rows}) == 2
    assert not any(tokens[0].replace("-", "").encode() in row.sealed for row in rows)


def test_what_is_no_live_token_is_not_declared(watching: Site) -> None:
    tokens = watching.plant("ssn", VALUES)
    assert refusal(watching, ["219-09-9990"]) is Reason.INVALID_REQUEST
    assert refusal(watching, ["no token"]) is Reason.INVALID_REQUEST
    assert refusal(watching, tokens, label="4111 1111") is Reason.INVALID_REQUEST
    assert refusal(watching, tokens, field="mail") is Reason.DENIED
    assert watching.work.events[-1].honey_set == ""


def test_a_retired_set_is_honey_no_more(watching: Site) -> None:
    honey, *_ = watching.plant("ssn", VALUES)
    assert touches(watching, honey) == 1
    (listed,) = watching.honey.list(watching.call("ListHoneyTokens", "keeper"))
    call = watching.call("RetireHoneyTokens", "keeper")
    assert not watching.honey.retire(call, str(listed.honey.id)).honey.active
    watching.look()
    assert touches(watching, honey) == 0
    with pytest.raises(TokenvaultError) as caught:
        watching.honey.retire(call, "no such set")
    assert caught.value.reason is Reason.HONEY_SET_NOT_FOUND


def test_a_set_whose_row_is_removed_or_edited_stays_where_it_is_known(watching: Site) -> None:
    honey, *_ = watching.plant("ssn", VALUES)
    watching.tamper(active=False, mac=bytes(32))
    for _ in range(2):
        watching.look()
    assert watching.refused == ["was not written by a server"]
    assert touches(watching, honey) == 1
    (listed,) = watching.honey.list(watching.call("ListHoneyTokens", "keeper"))
    assert listed.forged
    watching.work.run(lambda each: each.honey.remove("default", listed.honey.id))
    for _ in range(2):
        watching.look()
    assert watching.refused == ["was not written by a server", "is gone"]
    assert touches(watching, honey) == 1


def test_a_row_that_is_not_ours_makes_no_honey(watching: Site) -> None:
    _, other, *_ = watching.plant("ssn", VALUES)
    watching.tamper(mac=bytes(32))
    fresh = Site()
    fresh.work = watching.work
    fresh.look()
    assert fresh.refused == ["was not written by a server"]
    assert fresh.known.found(TokenSpace("default", "ssn"), [other.replace("-", "")]) == {}
