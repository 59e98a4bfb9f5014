"""The server's process: wiring, workers, listeners, health, periodic tasks, policy source."""

import os

# Before gRPC is imported, which reads it once. By default its core writes a line of its own,
# not JSON and without a peer, for every failed handshake: any stranger could fill the log.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
