"""The server's process: wiring, workers, listeners, health, periodic tasks, policy source."""
