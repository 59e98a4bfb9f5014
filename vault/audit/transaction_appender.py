"""The audit of one open transaction: its record goes with the COMMIT, and it learns the ending."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vault.audit.appender import CloseWith, PostgresAuditAppender
from vault.audit.chain_heads import ChainHeadPool
from vault.errors import TokenvaultError
from vault.postgres.pipelined import Command, Parameter
from vault.postgres.transaction import ClosingCommand, Ending, OpenTransaction

__all__ = ["transaction_appender"]


def transaction_appender(
    opened: OpenTransaction, chain_heads: ChainHeadPool
) -> PostgresAuditAppender:
    """Returns what appends to the audit in a transaction, and learns how that ends."""
    audit = PostgresAuditAppender(opened, chain_heads, _closing(opened))
    opened.at_end.append(lambda ending: _settle(audit, ending))
    return audit


def _closing(opened: OpenTransaction) -> CloseWith:
    """Returns what sends a statement along with the transaction's COMMIT."""

    def close_with(
        text: str, values: Sequence[Parameter], refused: Callable[[BaseException], TokenvaultError]
    ) -> None:
        opened.closing = ClosingCommand(Command(text, values), refused)

    return close_with


def _settle(audit: PostgresAuditAppender, ending: Ending) -> None:
    match ending:
        case Ending.COMMITTED:
            audit.committed()
        case Ending.ROLLED_BACK:
            audit.rolled_back()
        case Ending.IN_DOUBT:
            audit.in_doubt()
