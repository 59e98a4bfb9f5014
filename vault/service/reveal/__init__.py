"""Governed reveals: who asked, who approved, and what a grant still shows."""
