"""What formats share: the contract, layouts, check digits and random choices."""
