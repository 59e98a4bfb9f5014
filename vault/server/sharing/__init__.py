"""What small calls that are here at the same time do together."""
