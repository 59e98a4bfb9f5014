"""Notices: who is told of what, by a row that commits with the step that owes it."""
