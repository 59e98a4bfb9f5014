"""Logging in to an OpenID Connect issuer from a terminal. Needs no more than a plain install."""
