"""What fields, roles and views may be called."""

from __future__ import annotations

import re

__all__ = ["NAME", "NAME_RULE"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
NAME_RULE = "must be a lower-case letter and up to 62 more of a-z, 0-9 and _"
