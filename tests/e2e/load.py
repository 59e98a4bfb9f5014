"""Calls that go on through an outage, and what must be true of them afterwards."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from vault.client import CallError, Client, RetryPolicy

if TYPE_CHECKING:
    from tests.e2e.conftest import Server

FIELD = "card_number"
_ONCE = RetryPolicy(attempts=1)
_WITHOUT_INDEX = """
SELECT count(*) FROM tokens t WHERE NOT EXISTS
    (SELECT FROM token_index i WHERE (i.tenant, i.field, i.token) = (t.tenant, t.field, t.token))
"""
_WITHOUT_TOKEN = """
SELECT count(*) FROM token_index i WHERE NOT EXISTS
    (SELECT FROM tokens t WHERE (i.tenant, i.field, i.token) = (t.tenant, t.field, t.token))
"""


def card(body: str) -> str:
    """Returns the digits with their check digit."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in body[::-2])
    total = doubled + sum(int(digit) for digit in body[-2::-2])
    return body + str(-total % 10)


@dataclass
class Load:
    """Threads that tokenize a new value a call, once each: no repetition hides a failure."""

    server: Server
    threads: int = 4
    prefix: int = 4539
    tokens: dict[str, str] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    slowest_failure: float = 0.0
    _end: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        for number in range(self.threads):
            thread = threading.Thread(target=self._work, args=(number,))
            thread.start()
            self._running.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._running:
            thread.join()

    def await_answers(self, more: int = 20, seconds: float = 60) -> None:
        """Returns once so many more calls have been answered."""
        wanted, end = len(self.tokens) + more, time.monotonic() + seconds
        while len(self.tokens) < wanted:
            assert time.monotonic() < end, self.failures
            time.sleep(0.02)

    def await_failures(self, *reasons: str, seconds: float = 60) -> None:
        """Returns once a call has failed for one of the reasons."""
        end = time.monotonic() + seconds
        while not any(self.failures[reason] for reason in reasons):
            assert time.monotonic() < end, (self.failures, len(self.tokens))
            time.sleep(0.02)

    def _work(self, number: int) -> None:
        tls = self.server.site.tls("pipeline")
        with Client(self.server.address, tls, retry=_ONCE, timeout=60) as client:
            count = 0
            while not self._end.is_set():
                value = card(f"{self.prefix}{number:03d}{count:08d}")
                count += 1
                began = time.monotonic()
                try:
                    (token,) = client.tokenize(FIELD, [value]).values
                except CallError as error:
                    assert value not in str(error)
                    self.failures[error.reason] += 1
                    self.slowest_failure = max(self.slowest_failure, time.monotonic() - began)
                    time.sleep(0.05)
                else:
                    assert token is not None
                    self.tokens[value] = token


def check_whole(server: Server, superuser: str, handed_out: dict[str, str]) -> None:
    """Every answer is kept, every answered call is in the audit, and nothing is half there."""
    with server.client("fraud-analyst") as reader:
        values, tokens = list(handed_out), list(handed_out.values())
        assert reader.detokenize(FIELD, tokens).values == values
    with psycopg.connect(superuser) as connection:
        for statement in (_WITHOUT_INDEX, _WITHOUT_TOKEN):
            assert connection.execute(statement.encode()).fetchone() == (0,)
        bodies = [
            json.loads(body) for (body,) in connection.execute("SELECT body FROM audit_records")
        ]
        stored = connection.execute(
            "SELECT count(*) FROM tokens WHERE field = %s", [FIELD]
        ).fetchone()
    tokenized = [
        body
        for body in bodies
        if (body.get("rpc"), body.get("field"), body.get("outcome"))
        == ("Tokenize", FIELD, "allowed")
    ]
    # A call makes one token and one record, or neither.
    assert stored == (len(tokenized),)
    assert len(tokenized) >= len(handed_out)
    recorded = {body.get("request_id") for body in bodies}
    answered = {
        line["request_id"]
        for line in server.lines()
        if line["event"] == "call" and line["code"] == "OK" and line["field"] == FIELD
    }
    assert answered
    assert answered <= recorded


def findings(server: Server) -> list[str]:
    """What the verification of the whole audit finds."""
    with server.client("auditor") as auditor:
        return [str(finding) for finding in auditor.verify_audit().findings]
