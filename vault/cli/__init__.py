"""The `tokenvault` command: one file per group of commands, thin."""
