"""The audit's log behind two workers: followed, exported, checkpointed, tampered with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests import preloaded
from vault.audit.tlog.note import Note, NoteKey
from vault.audit.tlog.proofs import verify_consistency
from vault.audit.tlog.tree_head import TreeHead
from vault.dev.postgres import OWNER

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> Server:
    published = {"publish": "published", "publish_interval": "1s", "retention": "30d"}
    return start_server("log", {"server": {"workers": 2}, "audit": published})


def command(server: Server, *arguments: str, identity: str = "auditor") -> list[str | Path]:
    tls = server.site.tls(identity)
    return [
        preloaded.TOKENVAULT, "audit", *arguments, "--address", server.address,
        "--ca", str(tls.ca), "--cert", str(tls.cert), "--key", str(tls.key),
    ]  # fmt: skip


def run(
    server: Server, *arguments: str, identity: str = "auditor"
) -> subprocess.CompletedProcess[str]:
    done = preloaded.run(command(server, *arguments, identity=identity))
    assert "Traceback" not in done.stdout + done.stderr
    return done


def public_keys(server: Server) -> str:
    done = preloaded.run([preloaded.TOKENVAULT, "keys", "public", "--config", server.settings])
    assert done.returncode == 0, done.stderr
    return done.stdout


def page_of(server: Server) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_call_is_in_the_tail_within_a_second(server: Server) -> None:
    with server.client("auditor") as auditor, server.client("pipeline") as pipeline:
        for number in range(3):
            before = auditor.tail_audit(0, 1).next
            pipeline.tokenize("national_id", [f"{number:010d}"])
            answered = time.monotonic()
            while not any(
                '"rpc":"Tokenize"' in record.body
                for record in auditor.tail_audit(before, 1000).records
            ):
                assert time.monotonic() - answered < 10
                time.sleep(0.02)
            # Twice what is promised: this machine runs other tests too.
            assert time.monotonic() - answered < 2


def test_pages_are_the_whole_audit_in_order(
    server: Server, read_audit: Callable[[], list[str]]
) -> None:
    with server.client("auditor") as auditor:
        eventually(lambda: auditor.tail_audit(0, 1).lag <= 1)
        bodies, position = list[str](), 1
        written = read_audit()
        while len(bodies) < len(written):
            page = auditor.tail_audit(position, 3)
            bodies += [record.body for record in page.records]
            assert [record.position for record in page.records] == list(range(position, page.next))
            position = page.next
    assert set(written) <= set(bodies)


@contextmanager
def following(
    server: Server, directory: Path, *arguments: str
) -> Iterator[tuple[Callable[[], list[str]], Callable[[], int]]]:
    """Runs ``audit tail --follow``; yields the lines so far, and what ends it by Ctrl-C."""
    out, err = directory / "out", directory / "err"
    with out.open("w") as stdout, err.open("w") as stderr:
        whole = command(server, "tail", "--follow", *arguments)
        process = preloaded.start(whole, stdout=stdout, stderr=stderr)

    def interrupt() -> int:
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
        assert "Traceback" not in err.read_text()
        return code

    try:
        yield lambda: out.read_text().splitlines(), interrupt
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_follow_shows_what_happens_and_settles(server: Server, tmp_path: Path) -> None:
    with following(server, tmp_path, "--limit", "1", "--pause", "2") as (lines, interrupt):
        eventually(lines)
        with server.client("pipeline") as pipeline:
            pipeline.tokenize("card_number", ["4111111111111111", "4111111111111112"])
        eventually(lambda: any("Tokenize  card_number" in line for line in lines()))
        (told,) = [line for line in lines() if "Tokenize  card_number" in line]
        assert "allowed" in told
        assert "spiffe://example.org/pipeline" in told
        assert "VALUE_NOT_IN_FORMAT=1 ok=1" in told
        assert not any("4111111111" in line for line in lines())
        # Nobody else calls: looks become rare, and each shows one line or two.
        time.sleep(2)
        before = len(lines())
        time.sleep(4)
        assert len(lines()) - before <= 6
        assert interrupt() == 130


def test_only_an_auditor_reads_the_audit(server: Server, tmp_path: Path) -> None:
    for arguments in (("tail",), ("checkpoint",), ("export", "-o", str(tmp_path / "x"))):
        done = run(server, *arguments, identity="pipeline")
        assert done.returncode == 3
        assert "DENIED" in done.stderr
    assert not (tmp_path / "x").exists()


def test_export_and_tail_as_json(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    done = run(server, "export", "-o", str(path), "--from", "2")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["position"] for record in records] == list(range(2, len(records) + 2))
    assert done.stdout.endswith(f"the next is --from {len(records) + 2}\n")
    assert {record["body"]["kind"] for record in records} <= {"call", "opened", "policy"}
    tail = run(server, "tail", "--json", "--from", "2", "--limit", "3")
    assert [json.loads(line) for line in tail.stdout.splitlines()] == records[:3]


def test_an_outsider_checks_an_export_offline(server: Server, tmp_path: Path) -> None:
    def offline(*arguments: str) -> subprocess.CompletedProcess[str]:
        export = ("--export", str(path), "--public-key", str(keys))
        return preloaded.run([preloaded.TOKENVAULT, "audit", "verify", *export, *arguments])

    path, keys, last = tmp_path / "signed.jsonl", tmp_path / "vkeys", tmp_path / "last"
    keys.write_text(public_keys(server))
    assert run(server, "export", "--format", "signed", "-o", str(path)).returncode == 0
    done = offline()
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("nothing is wrong\n")
    last.write_text(json.loads(path.read_text().splitlines()[0])["checkpoint"])
    size = json.loads(offline("--json").stdout)["size"]

    # One record, and the growth since.
    proof = tmp_path / "proof"
    request = json.loads(run(server, "tail", "--json", "--limit", "1").stdout)["body"]["request_id"]
    for what, given in (
        (("--position", "1"), ()),
        (("--request-id", request), ()),
        (("--since", str(last)), ("--checkpoint", str(last))),
    ):
        assert run(server, "prove", "-o", str(proof), *what).returncode == 0
        checked = ("--proof", str(proof), "--public-key", str(keys), *given)
        assert run(server, "verify", *checked).returncode == 0
        proof.write_text(proof.read_text().replace("A", "B"))
        assert run(server, "verify", *checked).returncode == 1
    assert run(server, "prove", "-o", "-", "--position", "99999").returncode == 2
    assert run(server, "prove", "-o", "-", "--request-id", "0" * 32).returncode == 2

    # The next one begins where this one ended.
    with server.client("pipeline") as pipeline:
        pipeline.tokenize("national_id", ["0000000043"])
    with server.client("auditor") as auditor:
        eventually(lambda: auditor.tail_audit(0, 1).lag <= 1)
    done = run(server, "export", "--format", "signed", "-o", str(path), "--from", str(size + 1))
    assert done.returncode == 0, done.stderr
    assert offline().returncode == 1
    assert offline("--checkpoint", str(last)).returncode == 0
    before, allowed, after = path.read_text().partition('"outcome":"allowed"')
    path.write_text(f'{before}"outcome":"denied"{after}')
    done = offline("--checkpoint", str(last))
    assert allowed
    assert done.returncode == 1
    place = size + before.count("\n")
    assert f"EDITED: the record at position {place} was edited" in done.stdout
    assert run(server, "export", "--format", "signed", "-o", "-", "--rpc", "Erase").returncode == 2
    assert run(server, "export", "--format", "signed", "-o", "-", "--from", "99999").returncode == 2


def test_the_log_is_published_by_one_worker_at_a_time(server: Server) -> None:
    directory = server.settings.parent / "published"

    def published() -> TreeHead | None:
        for path in directory.glob("tokenvault/*/checkpoint"):
            return TreeHead.from_text(Note.parse(path.read_text()).text)
        return None

    eventually(lambda: published())
    before = published()
    assert before is not None
    with server.client("pipeline") as pipeline:
        pipeline.tokenize("national_id", ["0000000044"])
    eventually(lambda: (now := published()) is not None and now.size > before.size)
    with server.client("auditor") as auditor:
        proved = auditor.prove_audit(old_size=before.size)
    now = TreeHead.from_text(Note.parse(proved.checkpoint).text)
    grown = (before.size, before.root, now.size, now.root, proved.consistency)
    assert verify_consistency(*grown)
    (log,) = directory.glob("tokenvault/*")
    assert (log / "tile" / "0").is_dir()
    assert page_of(server)["tokenvault_audit_publishing_failures_total"] == 0


def test_filters_choose_records(server: Server, tmp_path: Path) -> None:
    with server.client("pipeline") as pipeline:
        pipeline.tokenize("national_id", ["0000000042"])
    with server.client("auditor") as auditor:
        eventually(lambda: auditor.tail_audit(0, 1).lag <= 1)
    caller = "spiffe://example.org/pipeline"
    chosen = ("--rpc", "Tokenize", "--field", "national_id", "--principal", caller)
    done = run(server, "tail", "--json", "--since", "1h", "--outcome", "allowed", *chosen)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(each["body"]["rpc"], each["body"]["field"]) for each in records} == {
        ("Tokenize", "national_id")
    }
    path = tmp_path / "some.jsonl"
    assert run(server, "export", "-o", str(path), *chosen).returncode == 0
    assert [json.loads(line) for line in path.read_text().splitlines()][-len(records) :] == records
    page = tmp_path / "report.html"
    done = run(server, "report", "-o", str(page), "--since", "1h", *chosen)
    assert done.returncode == 0, done.stderr
    values = sum(each["body"]["counts"]["ok"] for each in records)
    assert f'<td class="n">{values}</td>' in page.read_text()
    assert run(server, "report", "-o", str(page)).returncode == 0
    assert run(server, "tail", "--purpose", "none", "--from", "1").stdout == ""
    last = records[-1]
    place = ("--writer", last["writer"], "--record", str(last["number"]))
    done = run(server, "tail", "--long", *place)
    assert done.stdout.split()[0] == str(last["position"])
    assert f"writer {last['writer']}, record {last['number']}, request " in done.stdout
    done = run(server, "tail", "--request-id", last["body"]["request_id"], "--from", "1")
    assert len(done.stdout.splitlines()) == 1
    assert run(server, "tail", "--until", "1h").stdout == ""
    for wrong in (("--since", "x"), ("--record", "3"), ("--writer", "4111111111111111")):
        done = run(server, "tail", *wrong)
        assert done.returncode == 2
        assert "4111" not in done.stderr


def test_wrong_use_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "no").write_text('{"v":2}\n')
    done = run(server, "verify", "--checkpoint", str(tmp_path / "no"))
    assert done.returncode == 2
    assert "no checkpoint of this audit" in done.stderr
    assert run(server, "verify", "--checkpoint", str(tmp_path / "none")).returncode == 2
    assert run(server, "tail", "--from", "0").returncode == 2


def test_workers_show_one_lag(server: Server) -> None:
    with server.client("auditor") as auditor:
        before = auditor.tail_audit(0, 1).next
        eventually(lambda: page_of(server)["tokenvault_audit_lag_records"] == 0)
        assert page_of(server)["tokenvault_audit_integrated_total"] >= before - 1
        assert page_of(server)["tokenvault_audit_stalled_writers"] == 0
    assert server.health("audit") == "SERVING"


def test_a_checkpoint_is_made_and_compared(server: Server, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    assert run(server, "checkpoint", "-o", str(path)).returncode == 0
    done = run(server, "verify", "--checkpoint", str(path))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "nothing is wrong")
    # And by the public key alone.
    keys = [NoteKey.from_vkey(line) for line in public_keys(server).splitlines()]
    assert Note.parse(path.read_text("utf-8")).verified(keys)


# Records of now have their age: Postgres's clock cannot be moved.
OLD = """
from datetime import timedelta
import vault.cli.audit.prune
vault.cli.audit.prune._month = lambda time: time + timedelta(days=30)
from vault.cli.main import run
run()
"""


def test_old_records_are_pruned_by_command(server: Server, site: Site, tmp_path: Path) -> None:
    checkpoint, export, keys, report = (tmp_path / name for name in ("c", "e", "k", "r"))

    def prune(*options: str) -> str:
        password = site.postgres.password_file(OWNER)
        done = subprocess.run(
            [
                *(sys.executable, "-c", OLD, "audit", "prune", "--config", str(server.settings)),
                *("--owner", OWNER, "--password-file", str(password)),
                *("--checkpoint", str(checkpoint), *options),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with server.client("auditor") as auditor:
        eventually(lambda: auditor.tail_audit(0, 1).lag <= 1)
        made = auditor.checkpoint_audit().checkpoint
        checkpoint.write_text(made)
        assert prune("--dry-run").startswith("would prune ")
        assert not any(each.pruned for each in auditor.tail_audit(1, 1000).records)
        assert prune("--yes").startswith("pruned ")
        assert sum(each.pruned for each in auditor.tail_audit(1, 1000).records) > 10
        assert list(auditor.verify_audit(made).findings) == []
    done = run(server, "export", "--format", "signed", "-o", str(export))
    assert (done.returncode, "were pruned" in done.stdout) == (0, True), done.stdout
    keys.write_text(public_keys(server))
    done = run(server, "verify", "--export", str(export), "--public-key", str(keys))
    assert (done.returncode, "were pruned" in done.stdout) == (0, True), done.stdout
    assert run(server, "report", "-o", str(report)).returncode == 0
    assert "older records were pruned" in report.read_text()
    assert server.health("audit") == "SERVING"


def test_rows_hidden_under_a_running_server_are_named(
    server: Server,
    site: Site,
    tmp_path: Path,
    serve: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    with psycopg.connect(site.database.superuser_conninfo, autocommit=True) as owner:
        for table in ("audit_records", "audit_log", "audit_roots"):
            column = "size" if table == "audit_roots" else "number"
            owner.execute(
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
                f"CREATE POLICY hiding ON {table} USING ({column} < 2"
                " OR current_setting('transaction_read_only') = 'off') WITH CHECK (true)".encode()
            )
        try:
            done = run(server, "verify")
            assert done.returncode == 1
            assert "ALTERED_TABLE: table audit_log has row-level security" in done.stdout
            assert "TRUNCATED: " in done.stdout
            done = run(server, "tail")
            assert done.returncode == 1
            assert "MISSING OR EDITED" in done.stdout
            assert "TRUNCATED: the log ends at position" in done.stderr
            done = run(server, "checkpoint", "-o", str(tmp_path / "now"))
            assert done.returncode == 1
            assert "TRUNCATED: the log ends at position" in done.stderr
            done = run(server, "export", "-o", str(tmp_path / "lines"))
            assert done.returncode == 1
            server.await_health("audit", serving=False)
            assert server.health("readiness") == "SERVING"
            refused = serve("late", {}, development=True)
            assert refused.returncode == 2
            assert "table audit_log has row-level security" in refused.stderr
        finally:
            for table in ("audit_records", "audit_log", "audit_roots"):
                owner.execute(f"DROP POLICY hiding ON {table}".encode())
                owner.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY".encode())
    server.await_health("audit", serving=True)
    assert run(server, "verify", "--checkpoint", str(tmp_path / "now")).returncode == 0


# Last: it breaks the audit.
def test_an_edited_record_is_named_and_stops_no_call(server: Server, site: Site) -> None:
    with (
        psycopg.connect(site.database.superuser_conninfo, autocommit=True) as owner,
        server.client("pipeline") as pipeline,
    ):
        # Edited before the integrator comes: its own lock holds it off.
        with owner.transaction():
            owner.execute("SELECT pg_advisory_xact_lock(%s)", (0x746F6B656E04,))
            pipeline.tokenize("national_id", ["0000000099"])
            owner.execute(
                "UPDATE audit_records r SET body = replace(body, 'allowed', 'denied')"
                " FROM audit_heads h WHERE r.writer = h.writer AND r.number = h.number"
                " AND r.body LIKE '%Tokenize%'"
            )
        server.await_health("audit", serving=False)
        assert server.health("readiness") == "SERVING"
        assert pipeline.tokenize("national_id", ["0000000100"]).errors == {}
    eventually(lambda: page_of(server)["tokenvault_audit_stalled_writers"] >= 1)
    assert page_of(server)["tokenvault_audit_integration_failures_total"] >= 1
    assert page_of(server)["tokenvault_ready"] == 1
    (first, *_) = [
        line for line in server.lines() if line["event"] == "audit record not integrated"
    ]
    done = run(server, "verify")
    assert done.returncode == 1
    assert f"EDITED: writer {first['writer']}, record {first['number']}:" in done.stdout
