"""Receipts: DSSE as it is published, and worth what their signature and the log show."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from securesystemslib import dsse
from securesystemslib.signer import Key

from tests.exported_audits import KEY, NOW, ORIGIN, VKEY, ExportedAudit
from vault.audit.export.lines import ExportLine
from vault.audit.log import digest_of
from vault.audit.merkle import EMPTY
from vault.audit.receipts.check import check_against_export, check_against_proof
from vault.audit.receipts.dsse import Envelope, pre_authentication_encoding, seal
from vault.audit.receipts.receipt import PAYLOAD_TYPE, Receipt, make_receipt
from vault.audit.record import event_body, make_record
from vault.audit.tlog.note import Note, NoteKey, sign_note
from vault.audit.tlog.proof_files import InclusionProof
from vault.audit.tlog.proofs import inclusion_proof
from vault.audit.tlog.tree_head import TreeHead
from vault.crypto.field_key import MacKey
from vault.model import Action, AuditEvent, ChargedBudget, Person

AUDIT = ExportedAudit.of(21)
NINTH = make_receipt(AUDIT.records[8], KEY, ORIGIN)
RECEIPT = Receipt.from_envelope(NINTH, [VKEY])


# -- DSSE ---------------------------------------------------------------------------------


def test_the_published_vector() -> None:
    """C.f. secure-systems-lab/dsse, protocol.md, "Test Vectors": ECDSA over P-256."""
    kind, content = "http://example.com/HelloWorld", b"hello world"
    message = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pre_authentication_encoding(kind, content) == message
    envelope = Envelope.from_json(
        '{"payload": "aGVsbG8gd29ybGQ=", "payloadType": "http://example.com/HelloWorld",'
        ' "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJ'
        'PcIAriEGAHTVeCUjW2JIZA=="}]}'
    )
    assert (envelope.payload_type, envelope.payload) == (kind, content)
    ((key_id, signature),) = envelope.signatures
    assert key_id == ""
    public = EllipticCurvePublicNumbers(
        46950820868899156662930047687818585632848591499744589407958293238635476079160,
        5640078356564379163099075877009565129882514886557779369047442380624545832820,
        SECP256R1(),
    ).public_key()
    half = (int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    public.verify(encode_dss_signature(*half), message, ECDSA(SHA256()))


def test_another_implementation_verifies_our_envelopes() -> None:
    read = dsse.Envelope.from_dict(json.loads(NINTH))
    assert read.pae() == pre_authentication_encoding(PAYLOAD_TYPE, read.payload)
    ((key_id, _),) = Envelope.from_json(NINTH).signatures
    public = {"public": KEY.signing.public.hex()}
    key = Key.from_dict(key_id, {"keytype": "ed25519", "scheme": "ed25519", "keyval": public})
    assert list(read.verify([key], 1)) == [key_id]


def test_both_alphabets_of_base64_are_read_and_other_names_ignored() -> None:
    document = json.loads(NINTH)
    for each in (document, *document["signatures"]):
        name = "payload" if "payload" in each else "sig"
        each[name] = urlsafe_b64encode(b64decode(each[name])).decode()
        each["more"] = 1
    assert Receipt.from_envelope(json.dumps(document), [VKEY]) == RECEIPT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"payload":"","payloadType":"a","signatures":[]}',
        '{"payload":"*","payloadType":"a","signatures":[{"sig":""}]}',
        '{"payload":"","payloadType":"\\ud800","signatures":[{"sig":""}]}',
        '{"payload":"","payloadType":"a","signatures":[{"keyid":""}]}',
        '{"payload":"","payloadType":"a","payloadType":"b","signatures":[{"sig":""}]}',
    ],
)
def test_what_is_no_envelope_is_no_receipt(text: str) -> None:
    with pytest.raises(ValueError, match="it is no receipt, or was changed"):
        Receipt.from_envelope(text, [VKEY])


# -- what a receipt says ------------------------------------------------------------------


def test_a_receipt_says_what_its_record_says_and_nothing_of_tokens() -> None:
    event = AuditEvent(
        "Detokenize",
        "allowed",
        "https://idp#ann",
        "127.0.0.1",
        "credential",
        "0" * 32,
        "d" * 64,
        field="card",
        view="last4",
        purpose="fraud",
        ticket="F1",
        grant="g",
        break_glass=True,
        charged=2,
        counts={"ok": 2},
        key_versions=(1,),
        token_digest=b"digest of tokens",
        budget=ChargedBudget(Action.DETOKENIZE, "last4"),
        person=Person("https://idp", "email", "ann@example.org"),
    )
    old = AUDIT.records[0]
    body = event_body(event, server="s", writer=old.writer, number=1, now=NOW)
    text = make_receipt(make_record(KEY, old.writer, 1, b"", body), KEY, ORIGIN)
    statement = json.loads(Envelope.from_json(text).payload)
    assert {name: statement[name] for name in ("_type", "predicateType", "subject")} == {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "urn:tokenvault:reveal-receipt:v1",
        "subject": [{"name": f"{old.writer}/1", "digest": {"sha256": digest_of(body).hex()}}],
    }
    assert statement["predicate"]["reveal"] == {
        "time": "2026-11-28T01:02:03.000004+00:00",
        "rpc": "Detokenize",
        "outcome": "allowed",
        "tenant": "default",
        "principal": "https://idp#ann",
        "person": {"issuer": "https://idp", "claim": "email", "value": "ann@example.org"},
        "request_id": "0" * 32,
        "field": "card",
        "view": "last4",
        "purpose": "fraud",
        "ticket": "F1",
        "grant": "g",
        "break_glass": True,
        "charged": 2,
        "budget": {"action": "detokenize", "view": "last4"},
        "counts": {"ok": 2},
        "policy_digest": "d" * 64,
    }
    assert Receipt.from_envelope(text, [VKEY]).tells(body)


def test_whatever_is_changed_the_signature_does_not_hold() -> None:
    envelope = Envelope.from_json(NINTH)
    for change in (
        replace(envelope, payload=envelope.payload.replace(b"allowed", b"alloweD")),
        replace(envelope, payload_type="application/json"),
        replace(envelope, signatures=[("", b"0" * 64)]),
        replace(envelope, signatures=[("", b"")]),
    ):
        with pytest.raises(ValueError, match="signature is not of the public key"):
            Receipt.from_envelope(change.to_json(), [VKEY])


def test_only_a_key_of_the_receipts_own_log_counts() -> None:
    other_log = NoteKey("tokenvault/another", KEY.signing.public)
    with pytest.raises(ValueError, match="it is of another log"):
        Receipt.from_envelope(NINTH, [other_log])
    with pytest.raises(ValueError, match="signature is not of the public key"):
        Receipt.from_envelope(NINTH, [NoteKey(ORIGIN, MacKey(2, b"2" * 32).signing.public)])
    assert Receipt.from_envelope(NINTH, [other_log, VKEY]) == RECEIPT


def test_no_signature_of_a_checkpoint_is_one_of_a_receipt() -> None:
    """Nor the reverse: one key signs both."""
    text = TreeHead(ORIGIN, 1, b"0" * 32).to_text()
    (signature,) = sign_note(text, ORIGIN, KEY.signing).signatures
    envelope = Envelope(PAYLOAD_TYPE, text.encode(), [("", signature.signature)])
    assert envelope.verified([VKEY]) == []
    ((_, sealed),) = seal(PAYLOAD_TYPE, text.encode(), "", KEY.signing).signatures
    note = Note(text, [replace(signature, signature=sealed)])
    with pytest.raises(ValueError, match="wrong"):
        note.verified([VKEY])


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.replace('"number":9', '"number":0'),
        lambda said: said.replace('"number":9', '"number":true'),
        lambda said: said.replace("{", "{ ", 1),
        lambda said: said.replace('"subject":[', '"subject":[{},'),
        lambda said: said.replace("Statement/v1", "Statement/v2"),
        lambda said: said.replace("reveal-receipt:v1", "reveal-receipt:v2"),
        lambda _: "[]",
    ],
)
def test_a_signed_statement_of_another_kind_is_no_receipt(change: Callable[[str], str]) -> None:
    said = change(RECEIPT.to_statement())
    assert said != RECEIPT.to_statement()
    text = seal(PAYLOAD_TYPE, said.encode(), "", KEY.signing).to_json()
    with pytest.raises(ValueError, match="signed, but is no receipt"):
        Receipt.from_envelope(text, [VKEY])


# -- and the log --------------------------------------------------------------------------


def hash_of(level: int, index: int) -> bytes:
    entries = AUDIT.entries[index << level : index + 1 << level]
    (top,) = EMPTY.grown(entry.leaf for entry in entries).peaks
    return top


def proof(position: int, line: ExportLine | None = None) -> str:
    return InclusionProof(
        position - 1,
        inclusion_proof(position - 1, 21, hash_of),
        Note.parse(AUDIT.checkpoint(21)),
        (line or AUDIT.lines()[position - 1]).to_line().encode(),
    ).to_text()


def test_a_receipt_is_proved_by_its_records_proof_alone() -> None:
    tree, position = check_against_proof(RECEIPT, proof(9), [VKEY])
    assert (tree.origin, tree.size, position) == (ORIGIN, 21, 9)
    with pytest.raises(ValueError, match="this is not its record"):
        check_against_proof(RECEIPT, proof(10), [VKEY])
    gone = replace(AUDIT.lines()[8], body="")  # its leaf still says what it was
    assert check_against_proof(RECEIPT, proof(9, gone), [VKEY])[1] == 9


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (replace(RECEIPT, mac=b"0" * 32), "another record in its place"),
        (replace(RECEIPT, body_digest=b"0" * 32), "another record in its place"),
        (replace(RECEIPT, reveal={**RECEIPT.reveal, "field": "card"}), "says something else"),
        (replace(RECEIPT, reveal={}), "says something else"),
        (replace(RECEIPT, origin="tokenvault/b"), "is in the log 'tokenvault/b'"),
    ],
)
def test_a_receipt_that_says_another_thing_than_the_log_convicts_who_signed_it(
    lie: Receipt, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        check_against_proof(lie, proof(9), [VKEY])
    report, (place,) = check_against_export([lie], AUDIT.export(), [VKEY])
    assert not report.findings
    assert told in str(place)


def test_receipts_are_looked_for_in_an_export() -> None:
    receipts = [
        Receipt.from_envelope(make_receipt(record, KEY, ORIGIN), [VKEY])
        for record in (AUDIT.records[8], AUDIT.records[20])
    ]
    report, places = check_against_export(receipts, AUDIT.export(), [VKEY])
    assert (report.findings, places) == ([], [9, 21])
    report, (missing,) = check_against_export(receipts[1:], AUDIT.export(1, 20), [VKEY])
    assert not report.findings
    assert str(missing) == "its record is not in the export"
    damaged = AUDIT.export()
    damaged[9] = damaged[9].replace(b"allowed", b"alloweD")
    report, _ = check_against_export(receipts, damaged, [VKEY])
    assert report.findings


def test_the_payload_is_what_anybody_decodes() -> None:
    payload = json.loads(NINTH)["payload"]
    assert payload == b64encode(RECEIPT.to_statement().encode()).decode()
