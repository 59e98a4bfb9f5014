"""A kept domain must be one: a stray character must fail the item, not the batch."""

from __future__ import annotations

import pytest

from vault.errors import FormatError
from vault.formats import build_format


@pytest.mark.parametrize("domain", ["\0", "exa\0mple.com", "", "a b", "@"])
def test_what_is_no_domain_is_no_token(domain: str) -> None:
    with pytest.raises(FormatError):
        build_format("email", keep_domain=True).parse_token(f"abcdefgh@{domain}")
