"""Honey tokens: who touches one is noticed, and sees no difference."""
