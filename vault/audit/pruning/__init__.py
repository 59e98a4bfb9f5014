"""Retention: old records are dropped and declared; their places in the log stay."""
