"""Keeping what this process knows of freezes up to date."""
