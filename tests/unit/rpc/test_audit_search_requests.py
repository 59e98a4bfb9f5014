"""What callers may write into a search of the audit: taken, or refused; never a bug."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import InvalidRequest
from vault.rpc.methods.audit import _search
from vault.v1.audit_service_pb2 import TailAuditRequest

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(2**63 - 1, 0), (-(2**63), 0), (253402300800, 0), (0, 2**31 - 1), (0, -1)],
)
@pytest.mark.parametrize("name", ["since", "until"])
def test_a_time_that_is_none_is_refused(name: str, seconds: int, nanos: int) -> None:
    ask = TailAuditRequest()
    time = getattr(ask.filter, name)
    time.seconds, time.nanos = seconds, nanos
    with pytest.raises(InvalidRequest, match="no time"):
        _search(ask)


@given(INT64, INT32, INT64, INT64, INT64, INT32, st.text(), st.lists(st.text(), max_size=3))
def test_any_request_is_a_search_or_refused(
    position: int,
    limit: int,
    before: int,
    number: int,
    seconds: int,
    nanos: int,
    text: str,
    names: list[str],
) -> None:
    ask = TailAuditRequest(position=position, limit=limit, before=before)
    ask.filter.number = number
    ask.filter.writer = ask.filter.request_id = text
    ask.filter.principals.extend(names)
    ask.filter.since.seconds, ask.filter.until.nanos = seconds, nanos
    try:
        search = _search(ask)
        search.wanted.check()
    except InvalidRequest as error:
        assert len(text) < 20 or text not in error.message
    else:
        assert search.wanted.matches(text, number, "")
