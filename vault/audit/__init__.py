"""The audit: numbered, MACed and chained records, and their verification."""
