"""Audit records as events of the Open Cybersecurity Schema Framework (OCSF) 1.8.0."""
