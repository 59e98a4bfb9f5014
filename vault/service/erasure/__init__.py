"""Values are destroyed: erased by token or value, in every spelling, or expired."""
