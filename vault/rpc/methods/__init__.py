"""From the wire to the use cases and back, one module a service."""
