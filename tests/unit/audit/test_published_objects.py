"""A log in an object store: written under conditions, and never in contradiction to itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Engine

from tests.exported_audits import KEY, ORIGIN, ExportedAudit
from tests.small_bucket import CREDENTIALS, SmallBucket, small_bucket
from vault.audit.checkpoint import CheckpointLog, sign_log
from vault.audit.objects.credentials import read_credentials
from vault.audit.objects.published import PublishedObjects
from vault.audit.tlog.note import Note
from vault.audit.tlog.proofs import consistency_proof
from vault.audit.tlog.tiles import Tile
from vault.audit.tree.place import OvertakenError
from vault.audit.tree.publisher import Publisher
from vault.audit.tree.stored_tree import StoredTree
from vault.errors import AuditUnavailable, ConfigError

AUDIT = ExportedAudit.of(3)


def checkpoint(size: int, root: bytes = b"") -> Note:
    return sign_log(CheckpointLog(size, root or AUDIT.tree(size).root()), ORIGIN, KEY)


def tiles(size: int) -> Mapping[Tile, Sequence[bytes]]:
    return {Tile(0, 0, size): [each.leaf for each in AUDIT.entries[:size]]}


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[SmallBucket]:
    with small_bucket(tmp_path / "store") as made:
        yield made


def published(bucket: SmallBucket) -> PublishedObjects:
    return PublishedObjects(bucket.store(), ORIGIN)


def test_tiles_come_first_and_each_checkpoint_stays_under_its_size(bucket: SmallBucket) -> None:
    place = published(bucket)
    assert place.checkpoint() is None
    place.write(tiles(2), checkpoint(2))
    assert place.checkpoint() == checkpoint(2)
    place.write(tiles(3), checkpoint(3))
    assert place.checkpoint() == checkpoint(3)
    log = bucket.objects / ORIGIN
    assert (log / "tile/0/000.p/2").read_bytes() == b"".join(tiles(2)[Tile(0, 0, 2)])
    names = [each.partition(ORIGIN)[2] for each in bucket.asked if each.startswith("PUT")]
    assert names == [
        *("/tile/0/000.p/2", "/checkpoints/" + "2".zfill(20), "/checkpoints/" + "2".zfill(20)),
        *("/checkpoint", "/tile/0/000.p/3", "/checkpoints/" + "3".zfill(20)),
        *("/checkpoints/" + "3".zfill(20), "/checkpoint"),
    ]
    for size in (2, 3):
        kept = (log / "checkpoints" / f"{size:020}").read_text()
        assert Note.parse(kept) == checkpoint(size)


def test_what_was_broken_off_is_done_again(bucket: SmallBucket) -> None:
    place = published(bucket)
    place.checkpoint()
    place.write(tiles(2), checkpoint(2))
    (bucket.objects / ORIGIN / "checkpoint").unlink()
    again = published(bucket)
    assert again.checkpoint() is None
    again.write(tiles(2), checkpoint(2))
    assert again.checkpoint() == checkpoint(2)


def test_a_cosigned_checkpoint_takes_the_place_of_the_same(bucket: SmallBucket) -> None:
    place = published(bucket)
    place.checkpoint()
    place.write(tiles(2), checkpoint(2))
    (signature,) = checkpoint(2).signatures
    cosigned = checkpoint(2)
    for name in ("one", "two"):  # one after the other, without reading it again
        signatures = [*cosigned.signatures, replace(signature, name=name)]
        cosigned = replace(cosigned, signatures=signatures)
        place.write({}, cosigned)
    assert place.checkpoint() == cosigned


def test_no_checkpoint_of_a_size_takes_the_place_of_another(bucket: SmallBucket) -> None:
    place = published(bucket)
    place.checkpoint()
    place.write({}, checkpoint(2))
    (bucket.objects / ORIGIN / "checkpoint").unlink()  # by who has put the log back
    place.checkpoint()
    with pytest.raises(AuditUnavailable, match="another checkpoint over 2 entries"):
        place.write({}, checkpoint(2, b"0" * 32))
    assert place.checkpoint() is None


def test_no_tile_takes_the_place_of_another(bucket: SmallBucket) -> None:
    place = published(bucket)
    place.checkpoint()
    place.write(tiles(2), checkpoint(2))
    tile = Tile(0, 0, 2)
    with pytest.raises(AuditUnavailable, match=r"something else as tile/0/000\.p/2"):
        place.write({tile: [b"0" * 32, b"1" * 32]}, checkpoint(3))
    assert place.checkpoint() == checkpoint(2)


def test_who_is_overtaken_writes_no_checkpoint(bucket: SmallBucket) -> None:
    slow, quick = published(bucket), published(bucket)
    slow.checkpoint()
    quick.checkpoint()
    quick.write({}, checkpoint(2))
    with pytest.raises(OvertakenError):
        slow.write({}, checkpoint(1))
    slow.checkpoint()
    quick.checkpoint()
    quick.write({}, checkpoint(3))
    with pytest.raises(OvertakenError):
        slow.write({}, checkpoint(2))
    assert quick.checkpoint() == checkpoint(3)


class _Overtaken(PublishedObjects):
    """As of a store that answers every write with a refused condition."""

    def write(self, tiles: Mapping[Tile, Sequence[bytes]], checkpoint: Note) -> None:
        raise OvertakenError


class _Tree(StoredTree):
    """The tree of the invented audit."""

    def subtrees(self, level: int, first: int, count: int) -> Sequence[bytes]:
        return [each.leaf for each in AUDIT.entries[first : first + count]]

    def growth(self, log: CheckpointLog, old: int) -> tuple[Sequence[bytes], bytes]:
        proof = consistency_proof(old, log.size, lambda _, index: AUDIT.entries[index].leaf)
        return proof, AUDIT.tree(old).root()


def test_who_is_overtaken_by_nobody_says_so(bucket: SmallBucket) -> None:
    def log() -> tuple[CheckpointLog, str]:
        return CheckpointLog(2, AUDIT.tree(2).root()), ORIGIN

    tree = _Tree(cast("Engine", None))
    publisher = Publisher(log, tree, lambda: KEY, lambda _: _Overtaken(bucket.store(), ORIGIN))
    other = published(bucket)
    assert publisher.publish() == 0
    other.checkpoint()
    other.write({}, checkpoint(1))
    assert publisher.publish() == 0
    for _ in range(2):
        with pytest.raises(AuditUnavailable, match="nothing new is there"):
            publisher.publish()


def test_a_store_without_conditions_is_refused(bucket: SmallBucket) -> None:
    bucket.ignores_conditions = True
    place = published(bucket)
    place.checkpoint()
    with pytest.raises(AuditUnavailable, match="ignores If-None-Match"):
        place.write({}, checkpoint(2))
    assert place.checkpoint() is None


def test_what_is_no_checkpoint_is_said(bucket: SmallBucket) -> None:
    (bucket.objects / ORIGIN).mkdir(parents=True)
    (bucket.objects / ORIGIN / "checkpoint").write_text("{}")
    with pytest.raises(AuditUnavailable, match="its checkpoint is none"):
        published(bucket).checkpoint()


def test_what_the_store_says_is_told_without_its_words(bucket: SmallBucket) -> None:
    place = published(bucket)
    place.checkpoint()
    bucket.answers[:] = [503]
    with pytest.raises(AuditUnavailable) as caught:
        place.write({}, checkpoint(2))
    assert caught.value.message == (
        f"the object store answered 503 SlowDown to PUT {ORIGIN}/checkpoints/{2:020}"
    )
    stranger = PublishedObjects(bucket.store(replace(CREDENTIALS, secret="x")), ORIGIN)
    with pytest.raises(AuditUnavailable, match="403 SignatureDoesNotMatch"):
        stranger.checkpoint()
    port, bucket.port = bucket.port, 1
    with pytest.raises(AuditUnavailable, match=r"did not answer GET .*: ConnectionError"):
        published(bucket).checkpoint()
    bucket.port = port


def test_no_bucket_is_no_empty_log(bucket: SmallBucket) -> None:
    (bucket.directory / "logs").rmdir()
    with pytest.raises(AuditUnavailable, match="404 NoSuchBucket"):
        published(bucket).checkpoint()


def test_an_access_key_is_read_as_aws_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.touch(0o600)
    path.write_text("[default]\naws_access_key_id = AKI\naws_secret_access_key = a%b=c\n")
    found = read_credentials(path, "key")
    assert (found.key_id, found.secret, found.token) == ("AKI", "a%b=c", "")
    path.write_text(path.read_text() + "aws_session_token = t\n")
    assert read_credentials(path, "key").token == "t"
    for bad in ("x", "[other]\na=b\n", "[default]\naws_access_key_id = AKI\n"):
        path.write_text(bad)
        with pytest.raises(ConfigError, match="has no section"):
            read_credentials(path, "key")
