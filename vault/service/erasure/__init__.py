"""Values go for good: erased by token or value, in every spelling, or expired."""
