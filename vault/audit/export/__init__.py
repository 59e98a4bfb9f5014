"""Exports that can be checked without our keys: their lines, and the check."""
