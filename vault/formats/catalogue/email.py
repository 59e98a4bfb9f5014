"""E-mail addresses (RFC 5321 sizes, RFC 6531 characters): random local parts.

A value's core is its local part without punctuation and capitals, ``@``, and its domain. The
token has a random local part of its own length with the same punctuation and capitals, and
by default the domain ``example.com``, which RFC 2606 reserves: no stranger ever gets mail
that was sent to a token. It may keep the domain, or have a random one under ``.example``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vault.formats.base.contract import (
    Parsed,
    RandomPlan,
    not_in_format,
    too_long,
    too_short,
)
from vault.formats.base.layout import Layout, apply_layout, fold_case, split_separators
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_boolean,
    read_one_of,
)
from vault.formats.base.random_only import LETTERS, RandomOnly
from vault.formats.base.spelling import domain_spelling_key, text_spelling_key

__all__ = ["Email", "EmailOptions"]

EmailDomain = Literal["reserved", "kept", "drawn"]
_DOMAINS: tuple[EmailDomain, ...] = ("reserved", "kept", "drawn")

# RFC 5321, section 4.5.3.1, in octets; 254 is a path of 256 without its angle brackets.
_LONGEST = 254
_LONGEST_LOCAL = 64
_LONGEST_TOKEN = 2 * _LONGEST
_SHORTEST_TOKEN = 8
_RESERVED_DOMAIN = "example.com"
# RFC 2606 reserves this top-level domain too.
_RANDOM_DOMAIN_ENDING = ".example"
_RANDOM_DOMAIN_LETTERS = 8
# The punctuation that RFC 5322 allows outside quotes; it reveals little and stays.
_GAP = re.compile(r"[!#$%&'*+\-/=?^_`{|}~.]+")
_REFUSED = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_REFUSED_LOCAL = re.compile(r'[(),:;<>\[\]\\"]')
_LABEL = r"(?:[A-Za-z0-9_-]|[^\x00-\x7f])+"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Za-z.:]+\]")


_RANDOM_DOMAIN = re.compile(rf"[a-z]{{{_RANDOM_DOMAIN_LETTERS}}}{re.escape(_RANDOM_DOMAIN_ENDING)}")


@dataclass(frozen=True, slots=True)
class EmailOptions(FormatOptions):
    """What a policy may say about ``email``.

    Attributes:
        keep_domain: short for domain ``kept``.
        domain: what the token has for a domain.
    """

    keep_domain: bool = option(read_boolean, False)
    domain: EmailDomain | None = option(read_one_of(*_DOMAINS))


class Email(RandomOnly):
    """The format ``email``."""

    name = "email"
    unbounded: Literal[True] = True
    shortest_token = _SHORTEST_TOKEN
    parts = ("local", "domain")

    def __init__(self, options: EmailOptions) -> None:
        self._domain = _domain(options)
        self._keep_domain = self._domain == "kept"

    def token_spec(self) -> Mapping[str, str | int | bool]:
        spec: dict[str, str | int | bool] = {"rules": 1, "keep_domain": self._keep_domain}
        if self._domain == "drawn":
            spec["domain"] = self._domain
        return spec

    def parse(self, text: str) -> Parsed:
        if not text:
            raise too_short("the e-mail address is empty")
        # Octets are counted below; as many characters are too long in any encoding.
        if len(text) > _LONGEST:
            raise too_long(f"the e-mail address is longer than {_LONGEST} octets")
        if _REFUSED.search(text):
            raise not_in_format("an e-mail address has no spaces or control characters")
        local, domain = _halves(text)
        if not local:
            raise not_in_format("the e-mail address has nothing before its @")
        # Its token would begin so too. No provider gives such an address to anybody.
        if local.startswith("="):
            raise not_in_format(
                "the e-mail address begins with =, which spreadsheets take for a formula: "
                "take the = away"
            )
        if _REFUSED_LOCAL.search(local):
            raise not_in_format(
                "write the bare address: what stands before its @ has none of ( ) , : ; < > [ ] \\ "
                "and no quotes, so no mailto: and no comment"
            )
        if not _DOMAIN.fullmatch(domain):
            raise not_in_format("the e-mail address has no valid domain after its @")
        if len(local.encode()) > _LONGEST_LOCAL:
            raise too_long(f"the local part is longer than {_LONGEST_LOCAL} octets")
        if len(text.encode()) > _LONGEST:
            raise too_long(f"the e-mail address is longer than {_LONGEST} octets")
        return self._read(local, domain)

    def parse_token(self, text: str) -> Parsed:
        if len(text) > _LONGEST_TOKEN:
            raise not_in_format("no e-mail token is as long")
        local, domain = _halves(text)
        letters, gaps = split_separators(local, _GAP)
        if not (letters.isascii() and letters.isalpha()):
            raise not_in_format("an e-mail token's local part has letters a-z and punctuation")
        if not _DOMAIN.fullmatch(domain):
            raise not_in_format("an e-mail token ends in a domain")
        if self._domain == "reserved" and domain.lower() != _RESERVED_DOMAIN:
            raise not_in_format(f"an e-mail token is at {_RESERVED_DOMAIN}")
        if self._domain == "drawn" and not _RANDOM_DOMAIN.fullmatch(domain.lower()):
            raise not_in_format(f"an e-mail token's domain ends in {_RANDOM_DOMAIN_ENDING}")
        return _compose(letters, gaps, domain)

    def _read(self, local: str, domain: str) -> Parsed:
        letters, gaps = split_separators(local, _GAP)
        if self._keep_domain:
            return _compose(letters, gaps, domain)
        # The token does not carry this domain, so its case belongs to the core.
        core, capitals = fold_case(letters)
        return Parsed(f"{core}@{domain}", Layout(len(core), gaps, capitals))

    def render(self, core: str, layout: Layout) -> str:
        """Writes a core whose @ a view has masked as a local part."""
        local, at, domain = core.partition("@")
        if at and self._keep_domain and layout.rest:
            domain = apply_layout(domain, layout.rest)
        return apply_layout(local, layout) + at + domain

    def spans(self, core: str) -> Mapping[str, tuple[int, int]]:
        """The ``@`` belongs to the domain."""
        at = core.index("@")
        return {"local": (0, at), "domain": (at, len(core))}

    def spelling_key(self, core: str) -> str:
        local, _, domain = core.partition("@")
        return f"{text_spelling_key(local)}@{domain_spelling_key(domain)}"

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        local, _, domain = core.partition("@")
        length = self.token_length(len(local), attempt)
        if self._domain == "drawn":
            return RandomPlan(
                LETTERS,
                length + _RANDOM_DOMAIN_LETTERS,
                lambda made: f"{made[:length]}@{made[length:]}{_RANDOM_DOMAIN_ENDING}",
            )
        kept = domain if self._keep_domain else _RESERVED_DOMAIN
        return RandomPlan(LETTERS, length, lambda made: f"{made}@{kept}")


def _domain(options: EmailOptions) -> EmailDomain:
    domain = options.domain or ("kept" if options.keep_domain else "reserved")
    if domain not in _DOMAINS:
        raise FormatOptionError("domain", "domain is reserved, kept or drawn")
    if options.keep_domain and domain != "kept":
        raise FormatOptionError("domain", "keep domain is for domain: kept only")
    return domain


def _halves(text: str) -> tuple[str, str]:
    if text.count("@") != 1:
        raise not_in_format("an e-mail address has exactly one @")
    local, _, domain = text.partition("@")
    return local, domain


def _compose(letters: str, gaps: tuple[tuple[int, str], ...], domain: str) -> Parsed:
    """Folds both halves: the layout carries the case of either."""
    core, capitals = fold_case(letters)
    folded, domain_capitals = fold_case(domain)
    rest = Layout(len(folded), capitals=domain_capitals)
    return Parsed(f"{core}@{folded}", Layout(len(core), gaps, capitals, rest))
