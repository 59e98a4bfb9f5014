"""Tokenvault: tokenization and format-preserving encryption as a gRPC service."""
