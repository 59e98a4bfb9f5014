"""The gRPC server: identity, order of checks, servicers, health, metrics, log."""
