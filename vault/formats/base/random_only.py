"""The base of formats whose tokens are always random."""

from __future__ import annotations

from typing import NoReturn

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.formats.base.contract import Plan
from vault.model import Generator, Storage

__all__ = ["LETTERS", "RandomOnly"]

LETTERS = NAMED_ALPHABETS["lower"]


class RandomOnly:
    """A format without an FPE generator: its values do not fill a cipher's domain.

    Attributes:
        shortest_token: fewest letters of a token, where tokens are letters.
    """

    name: str
    shortest_token: int
    generators = frozenset({Generator.RANDOM})
    storages = frozenset({Storage.VAULTED})

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return int(LETTERS.radix**self.shortest_token)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        if generator is not Generator.RANDOM or storage is not Storage.VAULTED:
            return f"format {self.name} takes generator random with storage vaulted only"
        return None

    def token_length(self, letters: int, attempt: int) -> int:
        """Returns the letters of a token: never fewer than the value's, so no case is lost."""
        return max(letters, self.shortest_token + attempt)

    def token_plan(self, core: str, storage: Storage) -> Plan:
        """Raises ValueError: there is nothing to encipher."""
        self._refuse()

    def value_plan(self, token_core: str) -> Plan:
        """Raises ValueError: there is nothing to decipher."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(f"format {self.name} has no FPE generator")
