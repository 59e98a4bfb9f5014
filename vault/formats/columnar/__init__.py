"""Columns as arrays: rows of characters, and texts without an object each."""
