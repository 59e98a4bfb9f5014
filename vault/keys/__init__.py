"""Keys: wrapped by the key server, unwrapped into memory for a bounded time."""
