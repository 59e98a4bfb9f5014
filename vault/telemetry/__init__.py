"""Metrics, log and traces. Nothing here ever takes a value."""
