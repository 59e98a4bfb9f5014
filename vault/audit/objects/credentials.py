"""An access key in a file, as AWS's own tools keep it (``~/.aws/credentials``)."""

from __future__ import annotations

import configparser
from pathlib import Path

from vault.audit.objects.signature import Credentials
from vault.config import read_secret
from vault.errors import ConfigError

__all__ = ["read_credentials"]

_SECTION = "default"


def read_credentials(path: Path, key: str) -> Credentials:
    """Reads the section ``default``.

    Args:
        key: the setting that names the file, for the error.

    Raises ConfigError.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_secret(path, key))
        section = parser[_SECTION]
        found = Credentials(
            section["aws_access_key_id"],
            section["aws_secret_access_key"],
            section.get("aws_session_token", ""),
        )
    except (configparser.Error, KeyError):
        found = Credentials("", "")
    if not (found.key_id.isascii() and found.key_id.isalnum() and found.secret):
        raise ConfigError(
            f"{key}: {path} has no section [{_SECTION}] with aws_access_key_id and"
            " aws_secret_access_key"
        )
    return found
