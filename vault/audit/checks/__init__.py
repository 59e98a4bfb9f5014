"""What is compared with the records beside their chains: rows that they say something of."""
