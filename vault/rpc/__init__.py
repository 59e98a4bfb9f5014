"""One call's way through the server: identity, order of checks, methods and statuses."""
