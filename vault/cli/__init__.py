"""The `tokenvault` command: one file per group of commands, thin."""

import os

# Before gRPC is imported, which reads it once: what it has to say about a failed connection
# is said in words by the error, not by lines of its core's log before it.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
