"""The settings of ``serve``: one tree, read once from a TOML file.

Unknown keys are refused, relative paths start at the file's own directory, and secrets
come only from files that nobody but their owner can read.
"""

from vault.config.loading import load_settings
from vault.config.secrets import read_projected_token, read_secret
from vault.config.sections import (
    AuditSettings,
    DatabaseSettings,
    JwtIssuerSettings,
    JwtSettings,
    KeyAuthSettings,
    KeysSettings,
    LogSettings,
    ObjectStoreSettings,
    PolicySettings,
    ReaperSettings,
    ServerSettings,
    Settings,
    TracingSettings,
    WebhookSettings,
    WebhooksSettings,
    WitnessSettings,
)
from vault.duration import parse_duration

__all__ = [
    "AuditSettings",
    "DatabaseSettings",
    "JwtIssuerSettings",
    "JwtSettings",
    "KeyAuthSettings",
    "KeysSettings",
    "LogSettings",
    "ObjectStoreSettings",
    "PolicySettings",
    "ReaperSettings",
    "ServerSettings",
    "Settings",
    "TracingSettings",
    "WebhookSettings",
    "WebhooksSettings",
    "WitnessSettings",
    "load_settings",
    "parse_duration",
    "read_projected_token",
    "read_secret",
]
