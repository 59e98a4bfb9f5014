"""Freezes: callers that are refused whatever their roles, and how that ends."""
