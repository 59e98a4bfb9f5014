"""The use cases, and the ports they need: the only place where the parts meet."""
