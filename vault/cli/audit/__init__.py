"""``tokenvault audit``."""
