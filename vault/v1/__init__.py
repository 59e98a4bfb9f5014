"""Generated from proto/vault/v1 by `make proto`; never edited."""
