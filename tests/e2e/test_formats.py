"""Every format through the whole service: restored byte for byte, or refused with a reason."""

from __future__ import annotations

import re
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.spellings import ACCEPTED, POLICY, REFUSED
from vault.client import CallError, PackedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Server, Site, StartServer
    from vault.client import Client


@pytest.fixture(scope="module")
def formats_server(site: Site, start_server: StartServer) -> Server:
    path = site.directory / "formats.yaml"
    path.write_text(
        POLICY.replace(
            "roles:\n",
            "roles:\n"
            "  helpdesk:\n"
            "    - {fields: [name, name_own], allow: [detokenize], view: initials}\n"
            "    - {fields: [card], allow: [detokenize], view: first6_last4}\n",
        )
        + '  - {spiffe: "spiffe://example.org/helpdesk", roles: [helpdesk]}\n'
    )
    return start_server("formats", {"policy": {"path": str(path)}})


@pytest.fixture(scope="module")
def client(formats_server: Server) -> Iterator[Client]:
    with formats_server.client("all") as made:
        yield made


def test_all_that_people_write_comes_back_from_the_store(client: Client) -> None:
    for field, values in ACCEPTED.items():
        tokenized = client.tokenize(field, values)
        assert tokenized.errors == {}, field
        assert all(a != b for a, b in zip(tokenized.values, values, strict=True)), field
        assert client.detokenize(field, tokenized.values).values == values, field
        assert client.lookup(field, values).values == tokenized.values, field


def test_all_that_is_refused_is_refused_alone_and_with_what_to_mend(client: Client) -> None:
    for field, cases in REFUSED.items():
        good = ACCEPTED[field][0]
        answer = client.tokenize(field, [good, *[text for text, _ in cases]])
        assert answer.values[0]
        assert sorted(answer.errors) == list(range(1, len(cases) + 1)), field
        for index, (_, message) in enumerate(cases, start=1):
            assert answer.errors[index].reason.startswith("VALUE_")
            assert re.search(message, answer.errors[index].message), field


def test_a_batch_has_a_region(client: Client) -> None:
    values = ["(415) 555-2671", "030 901820"]
    american = client.tokenize("phone", values, region="US")
    german = client.tokenize("phone", values[1:], region="DE")
    assert (sorted(american.errors), german.errors) == ([1], {})
    tokens = [american.values[0], german.values[0]]
    assert client.detokenize("phone", tokens).values == values
    assert client.lookup("phone", ["030/901820"], region="DE").errors == {}
    for field, region in (("phone", "Germany"), ("ssn", "US")):
        with pytest.raises(CallError, match="region") as caught:
            client.tokenize(field, values, region=region)
        assert caught.value.reason == "INVALID_REQUEST"


def test_a_packed_batch_has_a_region_too(client: Client) -> None:
    values: list[str | None] = ["(415) 555-2671", None, "030 901820"]
    american = client.tokenize_column("phone", PackedColumn.of(values), region="US")
    tokens = american.column.strings()
    assert sorted(american.errors) == [2]
    assert tokens == [client.tokenize("phone", values[:1], region="US").values[0], None, None]
    restored = client.detokenize_column("phone", PackedColumn.of(tokens[:1])).column
    assert restored.strings() == values[:1]
    with pytest.raises(CallError, match="region") as caught:
        client.tokenize_column("phone", PackedColumn.of(values), region="Germany")
    assert caught.value.reason == "INVALID_REQUEST"


def test_views_that_no_policy_defined(client: Client, formats_server: Server) -> None:
    token = str(client.tokenize("name", ["Ivan Martin"]).values[0])
    moved = "-".join(token.replace(" ", ""))
    card = client.tokenize("card", ["4111 1111 1111 1111"]).values
    with formats_server.client("helpdesk") as helpdesk:
        assert helpdesk.detokenize("name", [token]).values == ["I*** M*****"]
        # Whoever moves the separators sees the same two letters.
        (seen,) = helpdesk.detokenize("name", [moved]).values
        assert str(seen).replace("-", "").upper() == "I***M*****"
        assert helpdesk.detokenize("card", card).values == ["4111 11** **** 1111"]


def test_the_gauge_shows_fields_that_can_run_out(formats_server: Server) -> None:
    shown: dict[str, float] = {}
    end = time.monotonic() + 20
    while time.monotonic() < end and not shown:
        with urllib.request.urlopen(f"http://{formats_server.metrics}/metrics") as page:
            text = page.read().decode()
        found = re.findall(r'tokenvault_format_space_left_ratio\{field="(\w+)"\} (\S+)', text)
        shown = {name: float(left) for name, left in found}
    assert shown.keys() == {"nobody", "date_mdy", "postcode_us", "postcode_ca", "postcode_gb"}
    assert all(left > 0.99 for left in shown.values())
