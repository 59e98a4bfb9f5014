"""OpenBao's transit engine as a peer: TLS, a token with a policy, and a file audit device."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.http2_load import TransitCall
from tests.bench.load import Target
from vault.dev.authority import Authority, spiffe_id
from vault.dev.openbao import DevOpenBao
from vault.dev.private_files import write_private

_KEY = "bench"


class AuditedOpenBao(DevOpenBao):
    """An OpenBao that writes every request and answer to a file."""

    def _write_config(self) -> Path:
        path = super()._write_config()
        config = json.loads(path.read_text())
        options = {"file_path": str(self._directory / "audit.log")}
        # Without the description OpenBao's reader takes the lone "options" for a third name.
        config["audit"] = [{"file": {"bench": {"description": "bench", "options": options}}}]
        return write_private(path, json.dumps(config))


@contextmanager
def transit(directory: Path) -> Iterator[tuple[Target, TransitCall]]:
    """Starts one with a key to encrypt under; returns where it is and how to call it."""
    authority = Authority(directory / "pki")
    pair = authority.issue_client("caller", spiffe_id("caller"))
    with AuditedOpenBao(directory / "openbao", authority) as openbao:
        admin = openbao.admin()
        admin.write("sys/mounts/transit", {"type": "transit"})
        admin.write(f"transit/keys/{_KEY}", {"type": "aes256-gcm96"})
        policy = f'path "transit/encrypt/{_KEY}" {{ capabilities = ["update"] }}'
        admin.write(f"sys/policies/acl/{_KEY}", {"policy": policy})
        made = admin.write("auth/token/create", {"policies": [_KEY], "no_default_policy": True})
        auth = made["auth"]
        assert isinstance(auth, dict)
        target = Target(f"127.0.0.1:{openbao.port}", openbao.ca, pair.cert, pair.key)
        yield target, TransitCall(_KEY, str(auth["client_token"]))
