"""Explaining what callers may do."""
