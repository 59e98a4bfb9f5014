"""The formats that a policy can name."""
