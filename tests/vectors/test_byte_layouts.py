"""docs/byte-layouts.md, transcribed once more with the standard library, and its known answers."""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.audit.checkpoint import Checkpoint, CheckpointHead, CheckpointLog
from vault.audit.erasures import ErasureList, make_list
from vault.audit.log import LogEntry, make_entries, make_root
from vault.audit.merkle import EMPTY
from vault.audit.origin import Epoch
from vault.audit.record import Record
from vault.crypto import FF1, FF3_1, FieldKey, IndexKey, MacKey, TweakInput, data_key_context
from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.crypto.key_check import key_check_value
from vault.crypto.token_list_seal import TokenList, open_tokens, seal_tokens
from vault.errors import DecryptionFailed
from vault.keys.manifest import KeyVersion, ListedKey, Manifest, read_manifest
from vault.keys.snapshot import KeyId, Purpose
from vault.model import Generator

DOCUMENT = Path(__file__).parents[2] / "docs" / "byte-layouts.md"
ROOT = bytes(range(32))
TENANT, FIELD, VERSION = "default", "card_number", 1
SCOPE, TOKEN, KEPT = "field", "4111111111111112", "1111"
DIGITS = [4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]
MESSAGE, CONTEXT = b"hello", b"invoice 7"
NONCE = bytes(range(12))
WRITER = UUID(bytes=bytes(range(16)))
TIME = "2026-11-28T01:02:03.000004+00:00"


def lp(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def hkdf_expand(key: bytes, info: bytes) -> bytes:
    return hmac.digest(key, info + b"\x01", "sha256")


def sub_key(purpose: bytes) -> bytes:
    label = b"tokenvault/v1/" + purpose
    return hkdf_expand(ROOT, lp(label, TENANT.encode(), FIELD.encode(), u32(VERSION)))


def gcm(purpose: bytes, plaintext: bytes, *context: bytes) -> bytes:
    header = b"TKV\x01" + u32(VERSION)
    label = b"tokenvault/v1/" + purpose
    aad = lp(label, header, TENANT.encode(), FIELD.encode(), *context)
    return header + NONCE + AESGCM(sub_key(purpose)).encrypt(NONCE, plaintext, aad)


def tweak_digest() -> bytes:
    message = lp(
        b"tokenvault/v1/tweak",
        TENANT.encode(),
        FIELD.encode(),
        u32(VERSION),
        SCOPE.encode(),
        KEPT.encode(),
        u32(0),
    )
    return hmac.digest(sub_key(b"tweak"), message, "sha256")


def ff3_1_key() -> bytes:
    info = lp(b"tokenvault/v1/ff3-1-tweak", u32(10), tweak_digest())
    return hkdf_expand(sub_key(b"ff3-1"), info)


def ff3_1_key_of_length() -> bytes:
    info = lp(b"tokenvault/v2/ff3-1-tweak", u32(10), u32(len(DIGITS)), tweak_digest())
    return hkdf_expand(sub_key(b"ff3-1"), info)


def index_mac() -> bytes:
    message = lp(
        b"tokenvault/v1/index",
        u32(1),
        TENANT.encode(),
        FIELD.encode(),
        u32(VERSION),
        SCOPE.encode(),
        b"4111111111111111",
    )
    return hmac.digest(sub_key(b"index"), message, "sha256")


def audit_mac(message: bytes = MESSAGE) -> bytes:
    key = hkdf_expand(ROOT, lp(b"tokenvault/v1/audit", u32(VERSION)))
    return hmac.digest(key, message, "sha256")


def key_check() -> bytes:
    parts = (TENANT.encode(), FIELD.encode(), b"field", u32(VERSION))
    return hkdf_expand(ROOT, lp(b"tokenvault/v1/key-check", *parts))


def manifest_document() -> bytes:
    entry = f'"check":"{key_check().hex()}","field":"{FIELD}","purpose":"field","restored":false'
    return f'{{"keys":[{{{entry},"version":{VERSION}}}],"v":1}}'.encode()


def manifest_mac() -> bytes:
    label = b"tokenvault/v1/key-manifest"
    return audit_mac(lp(label, TENANT.encode(), i64(1), i64(VERSION), manifest_document()))


def i64(number: int) -> bytes:
    return number.to_bytes(8, "big", signed=True)


def log_leaf(position: int) -> bytes:
    place = (i64(position), WRITER.bytes, i64(position))
    content = lp(b"tokenvault/v1/audit-leaf", *place, audit_mac())
    return sha256(b"\x00" + content).digest()


def log_leaf_2(position: int) -> bytes:
    place = (i64(position), WRITER.bytes, i64(position))
    content = lp(b"tokenvault/v2/audit-leaf", *place, sha256(MESSAGE).digest(), audit_mac())
    return sha256(b"\x00" + content).digest()


def log_root() -> bytes:
    return sha256(b"\x01" + log_leaf(1) + log_leaf(2)).digest()


def log_root_mac() -> bytes:
    return audit_mac(lp(b"tokenvault/v1/audit-root", i64(2), i64(VERSION), log_root()))


def origin() -> bytes:
    content = lp(b"tokenvault/v1/audit-origin", TENANT.encode(), i64(1), i64(5), b"1:2:3:4")
    return b"tokenvault/" + sha256(content).hexdigest()[:32].encode()


def checkpoint_key() -> Ed25519PrivateKey:
    info = lp(b"tokenvault/v1/audit-checkpoint-key", u32(VERSION))
    return Ed25519PrivateKey.from_private_bytes(hkdf_expand(ROOT, info))


def checkpoint_text() -> bytes:
    lines = (
        origin(),
        b"2",
        b64encode(log_root()),
        b"key 1",
        f"time {TIME}".encode(),
        f"head {WRITER} 2 {audit_mac().hex()}".encode(),
    )
    return b"".join(line + b"\n" for line in lines)


def text(digits: list[int]) -> bytes:
    return NAMED_ALPHABETS["digits"].decode(digits).encode()


def erasure_list() -> bytes:
    one = (1).to_bytes(8, "big")
    place = (WRITER.bytes, one, one, TENANT.encode(), FIELD.encode())
    return token_list(b"tokenvault/v1/audit-erasure", *place)


def token_list(label: bytes, *context: bytes) -> bytes:
    audit_key = hkdf_expand(ROOT, lp(b"tokenvault/v1/audit", u32(VERSION)))
    key = hmac.digest(audit_key, lp(label + b"-key", bytes(range(16))), "sha256")
    return AESGCM(key).encrypt(bytes(12), lp(TOKEN.encode()), lp(label, *context))


def row_mac() -> bytes:
    key = hkdf_expand(ROOT, lp(b"tokenvault/v1/row-mac-key", u32(VERSION)))
    time = (datetime.fromisoformat(TIME) - datetime.fromisoformat("1970-01-01T00:00:00Z")) // (
        timedelta(microseconds=1)
    )
    cells = (
        *(b"n", b"t", b"f", b"i" + i64(-1), b"s" + MESSAGE, b"b\x00\xff"),
        *(b"u" + WRITER.bytes, b"d" + i64(time), b"a" + lp(b"a", b"", b"b")),
    )
    head = lp(b"tokenvault/v1/row-mac", u32(VERSION))
    return hmac.digest(key, head + lp(b"example", *cells), "sha256")


ANSWERS: dict[str, bytes] = {
    "transit context": lp(
        b"tokenvault/v1/data-key", TENANT.encode(), FIELD.encode(), b"field", u32(VERSION)
    ),
    "sub-key ff1": sub_key(b"ff1"),
    "sub-key ff3-1": sub_key(b"ff3-1"),
    "sub-key tweak": sub_key(b"tweak"),
    "sub-key row": sub_key(b"row"),
    "sub-key message": sub_key(b"message"),
    "sub-key index": sub_key(b"index"),
    "tweak digest": tweak_digest(),
    "ff3-1 key of the tweak": ff3_1_key(),
    "ff3-1 key of the tweak and length": ff3_1_key_of_length(),
    "ff1 token digits": text(FF1(sub_key(b"ff1"), 10).encrypt(DIGITS, tweak_digest()[:11])),
    "ff3-1 token digits": text(FF3_1(ff3_1_key(), 10).encrypt(DIGITS, tweak_digest()[:7])),
    "ff3-1 token digits, tweak version 2": text(
        FF3_1(ff3_1_key_of_length(), 10).encrypt(DIGITS, tweak_digest()[:7])
    ),
    "row ciphertext": gcm(b"row", b"4111111111111111", SCOPE.encode(), TOKEN.encode()),
    "message ciphertext": gcm(b"message", MESSAGE, CONTEXT),
    "blind index": index_mac(),
    "audit mac": audit_mac(),
    "key check value": key_check(),
    "key manifest mac": manifest_mac(),
    "row mac": row_mac(),
    "erasure list": erasure_list(),
    "honey tokens": token_list(
        b"tokenvault/v1/honey-tokens", TENANT.encode(), WRITER.bytes, FIELD.encode()
    ),
    "erasure digest": sha256(bytes(range(16)) + erasure_list()).digest(),
    "log leaf": log_leaf(1),
    "log leaf, version 2": log_leaf_2(1),
    "log root": log_root(),
    "log root mac": log_root_mac(),
    "checkpoint public key": checkpoint_key().public_key().public_bytes_raw(),
    "checkpoint origin": origin(),
    "checkpoint signature": checkpoint_key().sign(checkpoint_text()),
}


@pytest.fixture(scope="module")
def documented() -> dict[str, bytes]:
    rows = re.findall(r"^\| ([^|]+) \| `([0-9a-f]+)` \|$", DOCUMENT.read_text("utf-8"), re.M)
    return {name: bytes.fromhex(value) for name, value in rows}


def test_the_document_states_the_transcription(documented: dict[str, bytes]) -> None:
    assert documented == ANSWERS


def test_rows_and_messages_open(documented: dict[str, bytes]) -> None:
    key = FieldKey(ROOT, TENANT, FIELD, VERSION)
    row, message = documented["row ciphertext"], documented["message ciphertext"]
    assert key.open(row, scope=SCOPE, token=TOKEN) == b"4111111111111111"
    assert key.decrypt(message, CONTEXT) == MESSAGE
    with pytest.raises(DecryptionFailed):
        key.decrypt(row, CONTEXT)


@pytest.mark.parametrize("generator", [Generator.FF1, Generator.FF3_1])
def test_tokens(documented: dict[str, bytes], generator: Generator) -> None:
    assert token_of(generator, 1) == documented[f"{generator} token digits"]


def test_tokens_of_tweak_version_2(documented: dict[str, bytes]) -> None:
    assert token_of(Generator.FF3_1, 2) == documented["ff3-1 token digits, tweak version 2"]


def token_of(generator: Generator, version: int) -> bytes:
    """Returns the token by the kernel and by the reference, which must agree."""
    key, tweak = FieldKey(ROOT, TENANT, FIELD, VERSION), TweakInput(SCOPE, KEPT, 0)
    alone = key.encipher(generator, 10, [DIGITS], [tweak], tweak_version=version)[0]
    many = key.encipher(generator, 10, [DIGITS] * 100, [tweak] * 100, tweak_version=version)
    assert many == [alone] * 100
    assert key.decipher(generator, 10, [alone], [tweak], tweak_version=version) == [DIGITS]
    return text(alone)


def test_index_audit_and_transit(documented: dict[str, bytes]) -> None:
    index = IndexKey(ROOT, TENANT, FIELD, VERSION)
    assert index.mac(SCOPE, "4111111111111111") == documented["blind index"]
    assert MacKey(VERSION, ROOT).mac(MESSAGE) == documented["audit mac"]
    assert data_key_context(TENANT, FIELD, "field", VERSION) == documented["transit context"]


def test_the_key_manifest(documented: dict[str, bytes]) -> None:
    check = key_check_value(ROOT, TENANT, FIELD, "field", VERSION)
    assert check == documented["key check value"]
    place = KeyVersion(KeyId(TENANT, FIELD, Purpose.FIELD), VERSION)
    manifest = Manifest(TENANT, 1, {place: ListedKey(check, restored=False)})
    sealed = manifest.authenticated(MacKey(VERSION, ROOT))
    assert sealed.document.encode() == manifest_document()
    assert sealed.mac == documented["key manifest mac"]
    assert read_manifest(sealed, MacKey(VERSION, ROOT)) == manifest


def test_rows_that_decide(documented: dict[str, bytes]) -> None:
    row = [None, True, False, -1, "hello", b"\x00\xff", WRITER, datetime.fromisoformat(TIME)]
    key = MacKey(VERSION, ROOT).rows
    assert key.mac("example", [*row, ["a", "", "b"]]) == documented["row mac"]


def test_the_audits_log(documented: dict[str, bytes]) -> None:
    mac = documented["audit mac"]
    entries = [LogEntry(number, WRITER, number, mac, b"") for number in (1, 2)]
    assert entries[0].leaf_at(1) == documented["log leaf"]
    (entry,) = make_entries(1, [Record(WRITER, 1, VERSION, b"", mac, MESSAGE.decode())])
    assert entry.leaf == documented["log leaf, version 2"]
    key = MacKey(VERSION, ROOT)
    root = make_root(key, EMPTY.grown(entry.leaf_at(entry.position) for entry in entries))
    assert (root.size, root.root) == (2, documented["log root"])
    assert root.mac == documented["log root mac"]
    assert root.tree(lambda _: key) is not None


def test_checkpoints(documented: dict[str, bytes]) -> None:
    log = CheckpointLog(2, documented["log root"])
    heads = [CheckpointHead(WRITER, 2, documented["audit mac"])]
    name = Epoch(1, "1:2:3:4", 5).origin(TENANT)
    assert name.encode() == documented["checkpoint origin"]
    signed = Checkpoint(datetime.fromisoformat(TIME), heads, log, name).sign(MacKey(VERSION, ROOT))
    public, signature = (documented[f"checkpoint {each}"] for each in ("public key", "signature"))
    key_id = sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    line = f"\N{EM DASH} {name} {b64encode(key_id + signature).decode()}\n"
    assert signed == f"{checkpoint_text().decode()}\n{line}"


def test_honey_tokens_are_sealed_as_documented(documented: dict[str, bytes]) -> None:
    key, salt = MacKey(VERSION, ROOT), bytes(range(16))
    context = (TENANT.encode(), WRITER.bytes, FIELD.encode())
    sealed = seal_tokens(TokenList.HONEY, key, salt, [TOKEN], *context)
    assert sealed == documented["honey tokens"]
    assert open_tokens(TokenList.HONEY, key, salt, sealed, *context) == [TOKEN]
    with pytest.raises(DecryptionFailed):
        open_tokens(TokenList.ERASURE, key, salt, sealed, *context)


def test_erasure_lists_are_laid_out_as_documented(
    documented: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.audit.erasures.token_bytes", lambda size: bytes(range(size)))
    key = MacKey(VERSION, ROOT)
    made = make_list(key, WRITER, 1, TENANT, FIELD, [TOKEN])
    assert made.sealed == documented["erasure list"]
    assert made.digest == documented["erasure digest"].hex()
    assert made.tokens(lambda _: key) == [TOKEN]
    many = make_list(key, WRITER, 1, TENANT, FIELD, ["b", "", "äöü", "a"])
    assert many.tokens(lambda _: key) == ["", "a", "b", "äöü"]
    for changed in (
        ErasureList(WRITER, 2, 1, TENANT, FIELD, made.salt, made.sealed),
        ErasureList(WRITER, 1, 1, "other", FIELD, made.salt, made.sealed),
        ErasureList(WRITER, 1, 1, TENANT, "other", made.salt, made.sealed),
        ErasureList(WRITER, 1, 1, TENANT, FIELD, bytes(16), made.sealed),
        ErasureList(WRITER, 1, 1, TENANT, FIELD, made.salt, b"short"),
        ErasureList(WRITER, 1 << 70, 1, TENANT, FIELD, made.salt, made.sealed),
    ):
        assert changed.tokens(lambda _: key) is None
