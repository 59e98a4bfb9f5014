"""Webhooks: notices over HTTP, signed, to the receivers that the settings name."""
