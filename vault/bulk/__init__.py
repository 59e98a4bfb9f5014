"""Files tokenized column by column. Built on ``vault.client`` alone."""

from vault.bulk.csv import Erases, convert_csv, detokenize_csv, erase_csv, tokenize_csv
from vault.bulk.outcome import CsvOptions, OnReject, Reject, RejectedError, Summary
from vault.bulk.records import CsvError

__all__ = [
    "CsvError",
    "CsvOptions",
    "Erases",
    "OnReject",
    "Reject",
    "RejectedError",
    "Summary",
    "convert_csv",
    "detokenize_csv",
    "erase_csv",
    "tokenize_csv",
]
