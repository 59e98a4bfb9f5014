"""From the policy file's text to the typed model, with every problem in its place."""
