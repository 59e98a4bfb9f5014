"""Columns of values and tokens as arrays on their way through the use cases."""
