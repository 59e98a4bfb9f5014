"""The log's Merkle tree out of the database: at any size, proofs and what is published."""
