"""Who calls: by certificate or by JWT, and the files that decide it."""
