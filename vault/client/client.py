"""The synchronous client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from vault.client.address import address_problem
from vault.client.column_like import ColumnLike
from vault.client.columns import BytesColumn, Column, Descriptions, Erased, Spellings
from vault.client.exchange import MAX_REQUEST_BYTES, Exchange, place_answers
from vault.client.freezes import Freezes
from vault.client.honey import HoneyTokens
from vault.client.jwt import ClientJwt
from vault.client.loopback import no_proxy_options
from vault.client.retry import RetryPolicy
from vault.client.reveals import Reveals
from vault.client.shown import Shown
from vault.client.spellings import Progress, count_spellings, erase_spellings
from vault.client.tls import ClientTls
from vault.v1 import audit_service_pb2 as audit
from vault.v1 import encryption_service_pb2 as encryption
from vault.v1 import policy_service_pb2
from vault.v1 import tokenization_service_pb2 as tokenization
from vault.v1.audit_service_pb2_grpc import AuditServiceStub
from vault.v1.column_pb2 import StringColumn
from vault.v1.encryption_service_pb2_grpc import EncryptionServiceStub
from vault.v1.policy_service_pb2_grpc import PolicyServiceStub
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

if TYPE_CHECKING:
    from vault.client.packed import PackedAnswer, PackedColumn

__all__ = ["Client"]

# Answers may be longer than requests: ciphertexts have headers, e-mails grow.
_MAX_ANSWER_BYTES = 64 << 20
_OPTIONS = (
    ("grpc.max_send_message_length", MAX_REQUEST_BYTES + 65536),
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    # Retries are ours alone: gRPC's own would multiply them.
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 60_000),
    # gRPC waits a second before it connects again, and fails all calls meanwhile: longer
    # than our repetitions take, so that one unlucky connection would fail a call permanently.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class Client:
    """Calls Tokenvault: splits columns into batches, keeps order, repeats what is safe.

    Safe for use by several threads. Every method raises ``CallError`` when a call fails
    as a whole; a column's earlier batches may then have been processed, and repeating
    the call is safe.

    A column is a sequence, a pandas Series, a NumPy or an Arrow array; its answer is a list.
    None, NaN and ``pd.NA`` are null. What is no column (a generator, a dict, one string, a
    DataFrame), or has an item of another type, is a ``TypeError`` before anything is sent.

    Args:
        address: ``host:port``; the host must be in the server's certificate.
        tls: whom to trust, and the caller's certificate or token.
        batch_size: items in a request; at most the server's ``max_batch``.
        timeout: seconds for one request with all its repetitions.
        in_flight: requests of a column on their way at once.
    """

    def __init__(
        self,
        address: str,
        tls: ClientTls | ClientJwt,
        *,
        batch_size: int = 1000,
        timeout: float = 30.0,
        in_flight: int = 4,
        retry: RetryPolicy | None = None,
    ) -> None:
        if batch_size < 1 or in_flight < 1 or timeout <= 0:
            raise ValueError("batch_size, in_flight and timeout must be positive")
        if problem := address_problem(address):
            raise ValueError(problem)
        options = (*_OPTIONS, *no_proxy_options(address))
        self._channel = grpc.secure_channel(address, tls.credentials(), options=options)
        self._exchange = Exchange(
            batch_size=batch_size,
            timeout=timeout,
            in_flight=in_flight,
            retry=retry or RetryPolicy(),
            credential_problem=tls.credential_problem,
        )
        self._tokenization = TokenizationServiceStub(self._channel)
        self._encryption = EncryptionServiceStub(self._channel)
        self._audit = AuditServiceStub(self._channel)
        self._policy = PolicyServiceStub(self._channel)
        self.reveals = Reveals(self._channel, self._exchange)
        self.freezes = Freezes(self._channel, self._exchange)
        self.honey = HoneyTokens(self._channel, self._exchange)

    def __enter__(self) -> Client:
        """Returns the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the client."""
        self.close()

    def close(self) -> None:
        """Closes the connection; calls under way fail."""
        self._channel.close()
        self._exchange.close()

    # -- tokens -----------------------------------------------------------------------

    def tokenize(self, field: str, values: ColumnLike[str], *, region: str = "") -> Column:
        """Returns a token for each value.

        Args:
            region: ISO 3166-1 code of the country that phone numbers without a country code
                are of (``US``), in place of the policy's.
        """
        return self._exchange.strings(
            values,
            self._tokenization.Tokenize,
            lambda items: tokenization.TokenizeRequest(field=field, values=items, region=region),
            lambda answer: answer.tokens,
        )

    def detokenize(
        self,
        field: str,
        tokens: ColumnLike[str],
        view: str = "",
        *,
        purpose: str = "",
        ticket: str = "",
        grant: str = "",
    ) -> Column:
        """Returns a view of the value behind each token; "" asks for the caller's only view.

        Args:
            purpose: what the values are read for, where the policy asks: one of its purposes.
            ticket: where that is written down, where the policy asks. Both are audited.
            grant: id of the reveal that was approved, where the policy asks for approvals. It is
                charged for each token, also where the answer is lost on its way.
        """
        shown = Shown()

        def answered(answer: tokenization.DetokenizeResponse) -> Sequence[str]:
            shown.add(answer)
            return answer.values

        column = self._exchange.strings(
            tokens,
            self._tokenization.Detokenize,
            lambda items: tokenization.DetokenizeRequest(
                field=field, tokens=items, view=view, purpose=purpose, ticket=ticket, grant=grant
            ),
            answered,
        )
        return replace(column, view=shown.view or view, receipts=shown.receipts)

    def tokenize_column(
        self, field: str, values: PackedColumn, *, region: str = ""
    ) -> PackedAnswer:
        """Does what ``tokenize`` does, on a packed column: no string is made of any item."""
        return self._exchange.packed(
            values,
            self._tokenization.TokenizeColumn,
            lambda column: tokenization.TokenizeColumnRequest(
                field=field, values=column, region=region
            ),
            lambda answer: answer.tokens,
        )

    def detokenize_column(
        self,
        field: str,
        tokens: PackedColumn,
        view: str = "",
        *,
        purpose: str = "",
        ticket: str = "",
        grant: str = "",
    ) -> PackedAnswer:
        """Does what ``detokenize`` does, on a packed column."""
        shown = Shown()

        def answered(answer: tokenization.DetokenizeColumnResponse) -> StringColumn:
            shown.add(answer)
            return answer.values

        found = self._exchange.packed(
            tokens,
            self._tokenization.DetokenizeColumn,
            lambda column: tokenization.DetokenizeColumnRequest(
                field=field, tokens=column, view=view, purpose=purpose, ticket=ticket, grant=grant
            ),
            answered,
        )
        return replace(found, view=shown.view or view, receipts=shown.receipts)

    def lookup(self, field: str, values: ColumnLike[str], *, region: str = "") -> Column:
        """Returns the live token of each value and creates nothing; ``region`` as above."""
        return self._exchange.strings(
            values,
            self._tokenization.Lookup,
            lambda items: tokenization.LookupRequest(field=field, values=items, region=region),
            lambda answer: answer.tokens,
        )

    def describe(self, field: str, tokens: ColumnLike[str]) -> Descriptions:
        """Returns what is known about each token, never its value."""
        plan = self._exchange.plan(tokens, str)
        described: list[tokenization.TokenDescription | None] = [None] * len(plan.column)

        def request(items: list[str]) -> tokenization.DescribeRequest:
            return tokenization.DescribeRequest(field=field, tokens=items)

        for batch, answer in self._exchange.batches(plan, self._tokenization.Describe, request):
            place_answers(described, batch, answer.descriptions)
        for index in plan.errors:
            described[index] = None
        return Descriptions(described, plan.errors, plan.skipped)

    def erase(
        self,
        field: str,
        *,
        tokens: ColumnLike[str] | None = None,
        values: ColumnLike[str] | None = None,
        all_spellings: bool = False,
        progress: Progress | None = None,
    ) -> Erased:
        """Erases the values behind tokens for good; names them by ``tokens`` or ``values``.

        By value one spelling is found: ``a@x.org``, not ``a@X.org``. What is left of others
        ``count_spellings`` returns. A call whose answer was lost is repeated. By token that
        changes nothing; by value, what the first try erased answers TOKEN_NOT_FOUND at the
        second: no live token.

        Args:
            all_spellings: finds values in every spelling, and tokens to which no index leads.
                The server opens every row of the field for it, a page a call.
            progress: called with the number of tokens examined so far.
        """
        column = values if tokens is None else tokens
        if column is None or (tokens is not None and values is not None):
            raise TypeError("pass tokens or values, not both")
        if all_spellings:
            if values is None:
                raise TypeError("all_spellings is for values: a token is spelled in one way")
            page = self._spellings_page
            return erase_spellings(self._exchange, page, field, values, progress)

        def request(items: list[str]) -> tokenization.EraseRequest:
            if tokens is None:
                return tokenization.EraseRequest(field=field, values=items)
            return tokenization.EraseRequest(field=field, tokens=items)

        plan = self._exchange.plan(column, str)
        for _ in self._exchange.batches(plan, self._tokenization.Erase, request):
            pass  # its errors are in the plan's
        return Erased(len(plan.column) - plan.skipped - len(plan.errors), plan.errors, plan.skipped)

    def count_spellings(
        self, field: str, values: ColumnLike[str], *, progress: Progress | None = None
    ) -> Spellings:
        """Counts the live tokens of values in every spelling; for those who may erase.

        After an erasure by value: what is left. It opens every row, as ``all_spellings`` does.
        """
        return count_spellings(self._exchange, self._spellings_page, field, values, progress)

    def _spellings_page(
        self, request: tokenization.EraseSpellingsRequest
    ) -> tokenization.EraseSpellingsResponse:
        return self._exchange.call(self._tokenization.EraseSpellings, request)

    # -- bytes ------------------------------------------------------------------------

    def encrypt(
        self, field: str, plaintexts: ColumnLike[bytes], context: bytes = b""
    ) -> BytesColumn:
        """Returns an AES-256-GCM ciphertext of each plaintext, bound to ``context``."""
        return self._exchange.byte_strings(
            plaintexts,
            self._encryption.Encrypt,
            lambda items: encryption.EncryptRequest(field=field, plaintexts=items, context=context),
            lambda answer: answer.ciphertexts,
        )

    def decrypt(
        self,
        field: str,
        ciphertexts: ColumnLike[bytes],
        context: bytes = b"",
        *,
        purpose: str = "",
        ticket: str = "",
        grant: str = "",
    ) -> BytesColumn:
        """Returns the plaintext of each ciphertext; ``context`` as it was for encrypt.

        ``purpose``, ``ticket`` and ``grant`` as in ``detokenize``.
        """
        receipts: list[str] = []

        def answered(answer: encryption.DecryptResponse) -> Sequence[bytes]:
            receipts.append(answer.receipt)
            return answer.plaintexts

        column = self._exchange.byte_strings(
            ciphertexts,
            self._encryption.Decrypt,
            lambda items: encryption.DecryptRequest(
                field=field,
                ciphertexts=items,
                context=context,
                purpose=purpose,
                ticket=ticket,
                grant=grant,
            ),
            answered,
        )
        return replace(column, receipts=tuple(filter(None, receipts)))

    # -- audit and policy -------------------------------------------------------------

    def verify_audit(self, checkpoint: str = "") -> audit.VerifyAuditResponse:
        """Has the server verify the whole audit, against an earlier checkpoint if given."""
        request = audit.VerifyAuditRequest(checkpoint=checkpoint)
        return self._exchange.call(self._audit.VerifyAudit, request)

    def tail_audit(
        self,
        position: int = 0,
        limit: int = 0,
        *,
        wanted: audit.AuditFilter | None = None,
        before: int = 0,
        peaks: bool = False,
    ) -> audit.TailAuditResponse:
        """Returns audit records from a position on; from 0, the last ones. 0 means 100 records.

        Every call is a record itself: poll the audit gently.

        Args:
            wanted: which records; the server searches for two seconds or so and says how far
                it came: go on from ``next`` up to ``last``, or downwards below ``first``.
            before: only positions below it.
            peaks: return the peaks of the log's tree before ``position`` too.
        """
        request = audit.TailAuditRequest(
            position=position, limit=limit, filter=wanted, before=before, peaks=peaks
        )
        return self._exchange.call(self._audit.TailAudit, request)

    def checkpoint_audit(self) -> audit.CheckpointAuditResponse:
        """Returns a checkpoint, to be kept outside of the service's database."""
        return self._exchange.call(self._audit.CheckpointAudit, audit.CheckpointAuditRequest())

    def prove_audit(self, position: int = 0, old_size: int = 0) -> audit.ProveAuditResponse:
        """Returns proofs of a record's place, and that the log continues an earlier checkpoint.

        Args:
            old_size: that checkpoint's size; 0, as of ``position``: not asked for.
        """
        request = audit.ProveAuditRequest(position=position, old_size=old_size)
        return self._exchange.call(self._audit.ProveAudit, request)

    def get_policy(self) -> policy_service_pb2.GetPolicyResponse:
        """Returns the policy in force and its digest."""
        return self._exchange.call(self._policy.GetPolicy, policy_service_pb2.GetPolicyRequest())

    def explain_access(
        self,
        action: str,
        field: str = "",
        view: str = "",
        *,
        subject: policy_service_pb2.AccessSubject | None = None,
        context: policy_service_pb2.AccessContext | None = None,
    ) -> policy_service_pb2.ExplainAccessResponse:
        """Returns whether the policy in force would allow something now, and why.

        Args:
            action: one of the policy's, such as ``detokenize``.
            subject: whose access; None for the caller's own. Others' takes ``explain_others``.
            context: purpose and ticket; with a subject also when, and from which address.
        """
        request = policy_service_pb2.ExplainAccessRequest(
            subject=subject,
            action=policy_service_pb2.AccessAction(name=action, view=view),
            resource=policy_service_pb2.AccessResource(type="field", id=field) if field else None,
            context=context,
        )
        return self._exchange.call(self._policy.ExplainAccess, request)
