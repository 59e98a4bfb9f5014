"""A small witness (C2SP tlog-witness) that cosigns what continues what it knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.audit.merkle import EMPTY
from vault.audit.tlog.note import Note, NoteKey, NoteSignature, SignatureType, cosigned_message
from vault.audit.tlog.proofs import verify_consistency
from vault.audit.tlog.tree_head import TreeHead
from vault.audit.tlog.witnessing import read_add_checkpoint

__all__ = ["SmallWitness"]


class SmallWitness:
    """Knows one log's key. Attributes ``asked`` and ``answer`` are for tests."""

    def __init__(self, name: str, log: NoteKey) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.key = NoteKey(
            name, self._key.public_key().public_bytes_raw(), SignatureType.COSIGNATURE
        )
        self.log = log
        self.known: dict[str, tuple[int, bytes]] = {}
        self.asked: list[int] = []
        self.answer: tuple[int, str] | None = None
        self._lock = Lock()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serves for the block; yields its address."""
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with witness._lock:
                    given = self.path == "/w/add-checkpoint"
                    status, text = witness._judge(body) if given else (404, "")
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/w"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _judge(self, body: str) -> tuple[int, str]:
        old, proof, note = read_add_checkpoint(body)
        self.asked.append(old)
        if self.answer is not None:
            return self.answer
        head = TreeHead.from_text(note.text)
        try:
            # Any origin of the log's key: a restore begins another.
            note.verified([NoteKey(head.origin, self.log.public)])
        except ValueError:
            return 403, ""
        size, root = self.known.get(head.origin, (0, EMPTY.root()))
        if old != size:
            return 409, f"{size}\n"
        continues = (
            not proof if size == 0 else verify_consistency(size, root, head.size, head.root, proof)
        )
        if not continues:
            return 422, ""
        self.known[head.origin] = head.size, head.root
        return 200, self._cosigned(note)

    def _cosigned(self, note: Note) -> str:
        time = 1_800_000_000
        signature = self._key.sign(cosigned_message(note.text, time))
        made = NoteSignature(self.key.name, self.key.key_id, time.to_bytes(8) + signature)
        return made.to_line()
