"""Files tokenized column by column. Built on ``vault.client`` alone."""

from vault.bulk.csv import SupportsErase, convert_csv, detokenize_csv, erase_csv, tokenize_csv
from vault.bulk.outcome import CsvOptions, OnReject, Reject, RejectedError, Summary
from vault.bulk.records import CsvError

__all__ = [
    "CsvError",
    "CsvOptions",
    "OnReject",
    "Reject",
    "RejectedError",
    "Summary",
    "SupportsErase",
    "convert_csv",
    "detokenize_csv",
    "erase_csv",
    "tokenize_csv",
]
