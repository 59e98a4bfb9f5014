"""An object store over real HTTP: localbucket, which knows If-None-Match, with what it lacks.

That is signatures, checked by botocore as AWS would, and If-Match.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as AwsCredentials
from localbucket import S3Error, S3Handler, etag_matches, object_etag

from vault.audit.objects.signature import Credentials
from vault.audit.objects.store import ObjectStore

__all__ = ["CREDENTIALS", "REGION", "SmallBucket", "aws_signature", "small_bucket"]

CREDENTIALS = Credentials(
    "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a/temporary=key"
)
REGION = "eu-central-1"
_UNSIGNED = {"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
_signing = threading.Lock()


def aws_signature(
    method: str,
    url: str,
    headers: dict[str, str],
    content: bytes,
    credentials: Credentials,
    region: str,
    now: datetime,
) -> str:
    """Returns the Authorization header that botocore makes."""
    own = {name: value for name, value in headers.items() if name.lower() not in _UNSIGNED}
    request = AWSRequest(method=method, url=url, headers=own, data=content)
    request.context["client_config"] = None
    key = AwsCredentials(credentials.key_id, credentials.secret, credentials.token or None)
    signer = S3SigV4Auth(key, "s3", region)
    # Over TLS it would leave the content unsigned, as may be; ours never does.
    with (
        _signing,
        patch("botocore.auth.get_current_datetime", lambda: now),
        patch.object(signer, "_should_sha256_sign_payload", lambda _: True),
    ):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


@dataclass
class SmallBucket:
    """A bucket ``logs``, in a directory.

    Attributes:
        asked: method and path of each request.
        answers: statuses to answer, in order, before anything is done.
        ignores_conditions: whether it is a store that knows none.
        before: called with each request before it is carried out.
    """

    directory: Path
    port: int = 0
    asked: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    ignores_conditions: bool = False
    before: Callable[[str], object] = lambda _: None

    @property
    def url(self) -> str:
        """What objects' names come after."""
        return f"http://127.0.0.1:{self.port}/logs/audit"

    @property
    def objects(self) -> Path:
        """Where the objects are."""
        return self.directory / "logs" / "audit"

    def store(self, credentials: Credentials = CREDENTIALS) -> ObjectStore:
        """Returns a client of it."""
        return ObjectStore(self.url, REGION, lambda: credentials)


@contextmanager
def small_bucket(directory: Path) -> Iterator[SmallBucket]:
    """Serves a bucket for the length of the block."""
    bucket = SmallBucket(directory)
    (directory / "logs").mkdir(parents=True)

    class Handler(S3Handler):  # type: ignore[misc] # untyped
        data_root = directory

        def _dispatch(self, action: Callable[[str, str], None]) -> None:
            bucket.before(f"{self.command} {self.path}")
            bucket.asked.append(f"{self.command} {self.path}")

            def checked(name: str, key: str) -> None:
                content = self._read_body()
                self.__dict__["_read_body"] = lambda: content  # it can be read once
                if bucket.answers:
                    raise S3Error(HTTPStatus(bucket.answers.pop(0)), "SlowDown", "asked to fail")
                self._check_signature(content)
                action(name, key)

            super()._dispatch(checked)

        def _check_signature(self, content: bytes) -> None:
            sent = {name.lower(): value for name, value in self.headers.items()}
            given = sent.get("authorization", "")
            names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
            time = datetime.strptime(f"{sent['x-amz-date']}+0000", "%Y%m%dT%H%M%SZ%z")
            signed = {name: sent[name] for name in names if name not in ("host", *_UNSIGNED)}
            url = f"http://{sent['host']}{self.path}"
            made = aws_signature(self.command, url, signed, content, CREDENTIALS, REGION, time)
            if made != given or not {"if-none-match", "if-match"} & sent.keys() <= set(names):
                raise S3Error(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch", "another signature")

        def _put(self, name: str, key: str) -> None:
            tag = self.headers.get("If-Match")
            if bucket.ignores_conditions:
                del self.headers["If-None-Match"]
            elif tag is not None:
                target = self._object_path(name, key)
                if not target.exists() or not etag_matches(tag, object_etag(target)):
                    raise self._precondition_failed_error()
            super()._put(name, key)

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    bucket.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
