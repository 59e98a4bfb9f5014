"""What is forked, in the place of an interpreter that starts, behaves as one that did."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import preloaded

ENDS = {
    "its end": "print('done')",
    "a number": "import sys; print('said', flush=True); sys.exit(7)",
    "a text": "import sys; sys.exit('why')",
    "an error": "raise ValueError('a bug')",
    "a thread": "import threading; threading.Thread(target=lambda: print('late')).start()",
    "atexit": "import atexit; atexit.register(print, 'last')",
    "what it is given": "import sys; print(sys.stdin.read(), sys.argv[1:])",
    "a closed stream": "import os; print('lost'); os.close(1)",
}


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_as_a_program_does(tmp_path: Path, end: str) -> None:
    script = tmp_path / "script"
    script.write_text(ENDS[end])
    forked = preloaded.run([script, "an argument"], given=b"some\r\ntext")
    started = subprocess.run(
        [sys.executable, script, "an argument"],
        input=b"some\r\ntext",
        capture_output=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    assert forked.returncode == started.returncode
    assert forked.stdout == started.stdout.decode()
    assert forked.stderr.splitlines()[-1:] == started.stderr.decode().splitlines()[-1:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    script, out = tmp_path / "script", tmp_path / "out"
    script.write_text("import time; print('here', flush=True); time.sleep(60)")
    with out.open("wb") as stdout, (tmp_path / "err").open("wb") as stderr:
        process = preloaded.start([script], stdout=stdout, stderr=stderr)
    while not out.read_bytes():
        assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.send_signal(number)
    assert process.wait(30) == -number
    process.kill()  # of one that has ended: nobody else is hit
