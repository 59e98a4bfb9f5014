"""Objects of one prefix of a bucket: read, and written under a condition."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from vault.audit.objects.signature import Credentials, signed_headers
from vault.bounded_http import bounded_request
from vault.errors import AuditUnavailable

__all__ = ["ObjectStore", "StoredObject"]

_MAX_OBJECT = 4 << 20
_MAX_ERROR = 64 << 10
_CODE = re.compile(rb"<Code>([A-Za-z]{1,60})</Code>")
# S3 answers the second where another write of the object is under way.
_REFUSED = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, and what the store calls this version of it."""

    content: bytes
    tag: str


class ObjectStore:
    """Every method raises AuditUnavailable where the store does not do what is asked.

    Args:
        url: what objects' names come after, with the bucket in its host or path.
        credentials: read again for each request, as they may be replaced. May raise ConfigError.
        ca: authority of the store's certificate, PEM; the system's if None.
        timeout: seconds for a request altogether.
    """

    def __init__(
        self,
        url: str,
        region: str,
        credentials: Callable[[], Credentials],
        *,
        ca: Path | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._region = region
        self._credentials = credentials
        self._ca = ca
        self._timeout = timeout

    def get(self, name: str) -> StoredObject | None:
        """Returns an object, None where there is none of that name."""
        status, content, tag = self._ask("GET", name)
        if status == HTTPStatus.OK:
            return StoredObject(content, tag)
        if status == HTTPStatus.NOT_FOUND and _code(content) != "NoSuchBucket":
            return None
        raise self._failed("GET", name, status, content)

    def create(self, name: str, content: bytes) -> str | None:
        """Writes an object unless there is one of that name; returns its tag, else None."""
        return self._put(name, content, {"if-none-match": "*"})

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """Writes an object in the place of the version with that tag.

        Returns its own tag, None where there was another version. A store that knows no such
        condition replaces any.
        """
        return self._put(name, content, {"if-match": tag})

    def _put(self, name: str, content: bytes, condition: Mapping[str, str]) -> str | None:
        status, answer, tag = self._ask("PUT", name, content, condition)
        if status == HTTPStatus.OK:
            return tag
        if status in _REFUSED:
            return None
        raise self._failed("PUT", name, status, answer)

    def _ask(
        self, method: str, name: str, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        url = f"{self._url}/{name}"
        signed = signed_headers(
            method,
            url,
            headers or {},
            content,
            credentials=self._credentials(),
            region=self._region,
            now=datetime.now(UTC),
        )
        try:
            with bounded_request(
                method, url, timeout=self._timeout, ca=self._ca, data=content, headers=signed
            ) as response:
                most = _MAX_OBJECT if response.status == HTTPStatus.OK else _MAX_ERROR
                answer = response.read(most)
                status, tag = response.status, response.header("etag")
        except (OSError, ValueError) as error:
            raise AuditUnavailable(
                f"the object store did not answer {method} {name}: {type(error).__name__}"
            ) from None
        if len(answer) > most:
            raise self._failed(method, name, status, b"")
        return status, answer, tag

    def _failed(self, method: str, name: str, status: int, answer: bytes) -> AuditUnavailable:
        code = _code(answer)
        return AuditUnavailable(
            f"the object store answered {status}{f' {code}' if code else ''} to {method} {name}"
        )


def _code(answer: bytes) -> str:
    found = _CODE.search(answer)
    return found.group(1).decode("ascii") if found else ""
