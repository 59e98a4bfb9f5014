"""Erasing and expiring on a running server with two workers: from call to database."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from vault.client import CallError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Server, Site, StartServer

SAMPLE = Path(__file__).parents[2] / "deploy/policy.yaml"
SSNS = ["900-12-3456", "900-12-3457", "900-12-3458"]


@pytest.fixture(scope="module")
def server(start_server: StartServer, site: Site) -> Server:
    """A server whose e-mail tokens live for two seconds, but for those of one more field."""
    policy = site.directory / "policy.yaml"
    lasting = "\nfields:\n  work_email: {format: email, generator: random}\n"
    sample = SAMPLE.read_text().replace("\nfields:\n", lasting, 1)
    policy.write_text(sample.replace("ttl: 365d", "ttl: 2s"))
    changes: dict[str, dict[str, str | int]] = {
        "policy": {"path": str(policy)},
        "reaper": {"interval": "200ms", "batch": 2},
        "server": {"workers": 2},
    }
    return start_server("erasing", changes)


def rows(site: Site, field: str) -> tuple[list[tuple[object, ...]], int]:
    with psycopg.connect(site.database.superuser_conninfo) as connection:
        tokens = connection.execute(
            "SELECT state, ciphertext IS NOT NULL FROM tokens WHERE field = %s", [field]
        ).fetchall()
        index = connection.execute("SELECT count(*) FROM token_index WHERE field = %s", [field])
        found = index.fetchone()
        assert found is not None
        return tokens, found[0]


def test_the_privacy_officer_erases_by_value_and_by_token(server: Server, site: Site) -> None:
    with (
        server.client("pipeline") as pipeline,
        server.client("privacy-officer", batch_size=2) as officer,
        server.client("restore-pipeline") as reader,
    ):
        tokens = pipeline.tokenize("us_ssn", list(SSNS)).values
        by_value = officer.erase("us_ssn", values=[SSNS[0], None, "900-12-9999", "", SSNS[0]])
        assert (by_value.skipped, by_value.errors[2].reason) == (2, "TOKEN_NOT_FOUND")
        by_token = officer.erase("us_ssn", tokens=[tokens[1], "900-00-0000"])
        again = officer.erase("us_ssn", tokens=[tokens[1], tokens[0]])
        back = reader.detokenize("us_ssn", tokens)
        new = pipeline.tokenize("us_ssn", list(SSNS)).values
    assert (by_token.count, by_token.errors[1].reason) == (1, "TOKEN_NOT_FOUND")
    assert (again.count, again.errors) == (2, {})
    assert {at: error.reason for at, error in back.errors.items()} == {
        0: "TOKEN_ERASED",
        1: "TOKEN_ERASED",
    }
    assert back.values == ["", "", SSNS[2]]
    assert new[2] == tokens[2]
    assert not {new[0], new[1]} & set(tokens)
    found, index = rows(site, "us_ssn")
    assert sorted(found) == [("erased", False)] * 2 + [("live", True)] * 3
    assert index == 3


def test_every_spelling_of_an_address_goes_where_one_is_not_enough(server: Server) -> None:
    mails = ["kim@company.org", "Kim@Company.ORG", "kim@COMPANY.org", "kim@company.com"]
    with (
        server.client("pipeline") as pipeline,
        server.client("privacy-officer", batch_size=2) as officer,
        server.client("restore-pipeline") as reader,
    ):
        tokens = pipeline.tokenize("work_email", list(mails)).values
        assert len(set(tokens)) == 4
        assert officer.erase("work_email", values=mails[:1]).errors == {}
        left = officer.count_spellings("work_email", [mails[0], None, "nobody@company.org"])
        assert (left.found, left.tokens, left.skipped, left.errors) == ({0: 2}, 2, 1, {})
        assert reader.detokenize("work_email", tokens[1:]).values == mails[1:]
        seen: list[int] = []
        asked = ["KIM@company.org", "", "x", "nobody@company.org"]
        done = officer.erase("work_email", values=asked, all_spellings=True, progress=seen.append)
        assert (done.count, done.tokens, done.skipped) == (1, 2, 1)
        assert {at: error.reason for at, error in done.errors.items()} == {
            2: "VALUE_NOT_IN_FORMAT",
            3: "TOKEN_NOT_FOUND",
        }
        assert seen[0] >= 3
        back = reader.detokenize("work_email", tokens)
        with pytest.raises(TypeError, match="for values"):
            officer.erase("work_email", tokens=tokens, all_spellings=True)
    assert sorted(back.errors) == [0, 1, 2]
    assert back.values[3] == mails[3]


def test_what_cannot_be_erased_is_said(server: Server) -> None:
    with server.client("privacy-officer") as officer:
        with pytest.raises(CallError) as vaultless:
            officer.erase("account_id", tokens=["0012345678"])
        with pytest.raises(CallError) as nobody:
            officer.detokenize("us_ssn", ["900-12-3456"])
        assert officer.erase("us_ssn", tokens=[]).count == 0
        with pytest.raises(TypeError, match="not both"):
            officer.erase("us_ssn", tokens=["1"], values=["1"])
    assert vaultless.value.reason == "INVALID_REQUEST"
    assert "nothing is stored" in vaultless.value.message
    assert nobody.value.reason == "DENIED"


def test_an_erased_row_that_the_databases_owner_puts_back_is_named(
    server: Server, site: Site
) -> None:
    mails = ["max@company.org", "Max@Company.org", "moritz@company.org"]
    with (
        server.client("pipeline") as pipeline,
        server.client("privacy-officer") as officer,
        server.client("restore-pipeline") as reader,
        server.client("auditor") as auditor,
        psycopg.connect(site.database.superuser_conninfo, autocommit=True) as owner,
    ):
        tokens = pipeline.tokenize("work_email", list(mails)).values
        owner.execute("CREATE TABLE kept AS TABLE tokens")
        officer.erase("work_email", values=mails[:1], all_spellings=True)
        officer.erase("work_email", tokens=tokens[2:])
        assert list(auditor.verify_audit().findings) == []
        put_back = (
            "UPDATE tokens t SET state = 'live', ciphertext = k.ciphertext FROM kept k"
            " WHERE t.token = k.token AND t.field = 'work_email' AND k.state = 'live'"
            " AND t.state = 'erased'"
        )
        owner.execute(put_back)
        assert reader.detokenize("work_email", tokens).values == mails
        found = [(each.kind, each.message) for each in auditor.verify_audit().findings]
        assert {kind for kind, _ in found} == {"BROUGHT_BACK"}
        assert {message.split(" of ")[0] for _, message in found} == {"2 tokens", "1 token"}
        assert not any(str(text) in message for _, message in found for text in [*mails, *tokens])
        server.await_health("audit", serving=False, seconds=90)
        officer.erase("work_email", tokens=tokens)
        assert list(auditor.verify_audit().findings) == []
        server.await_health("audit", serving=True, seconds=90)
        owner.execute("DROP TABLE kept")
    assert "BROUGHT_BACK" in server.log.read_text()


def test_expired_tokens_are_reaped_counted_and_recorded(
    server: Server, site: Site, read_audit: Callable[[], list[str]]
) -> None:
    mails = [f"person{n}@company.org" for n in range(5)]
    with (
        server.client("pipeline") as pipeline,
        server.client("steward") as steward,
        server.client("restore-pipeline") as reader,
        server.client("auditor") as auditor,
    ):
        tokens = pipeline.tokenize("email", list(mails)).values
        known = steward.describe("email", tokens[:1]).values[0]
        assert known is not None
        lifetime = known.expire_time.ToDatetime() - known.create_time.ToDatetime()
        assert lifetime.total_seconds() == 2
        assert reader.detokenize("email", tokens).values == mails
        end = time.monotonic() + 30
        while rows(site, "email") != ([("expired", False)] * 5, 0):
            assert time.monotonic() < end, rows(site, "email")
            time.sleep(0.1)
        answer = reader.detokenize("email", tokens)
        assert {error.reason for error in answer.errors.values()} == {"TOKEN_EXPIRED"}
        assert not set(pipeline.tokenize("email", list(mails)).values) & set(tokens)
        assert list(auditor.verify_audit().findings) == []
    bodies = [body for body in read_audit() if '"rpc":"Expire"' in body]
    records = [json.loads(body) for body in bodies]
    assert sum(record["counts"]["ok"] for record in records) >= 5
    assert {(record["principal"], record["field"]) for record in records} == {
        ("tokenvault:reaper", "email")
    }
    assert all(record["counts"]["ok"] <= 2 for record in records)
    # Counted after the commit that the database showed.
    while True:
        page = urllib.request.urlopen(f"http://{server.metrics}/metrics").read().decode()
        counted = [
            line for line in page.splitlines() if line.startswith("tokenvault_tokens_reaped")
        ]
        if counted and float(counted[0].split()[1]) >= 5:
            break
        assert time.monotonic() < end, counted
        time.sleep(0.1)
    assert not any(mail in body for mail in mails for body in bodies)
    log = server.log.read_text()
    assert "expired tokens reaped" in log
    assert not any(text and text in log for text in [*mails, *tokens])
