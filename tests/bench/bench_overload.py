"""`make bench-overload`: ten times the load that this machine can take, for a while."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.bench.flood import Told, Watch, flood, watching
from tests.bench.load import Generator, Target, Work, grpc_loop, tokens_of
from vault.dev.environment import DevEnvironment

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
TIMES = 10


def report(told: Told, watch: Watch) -> None:
    """Prints what was seen."""
    print(
        f"  sent {told.offered / SECONDS:,.0f} calls/s for {SECONDS:.0f} s"
        f" ({told.withheld:,} more were due: the generator's own bound)"
    )
    for outcome, count in told.outcomes.most_common():
        p50, p99 = (1000 * told.latency(outcome, q) for q in (0.5, 0.99))
        print(f"  {outcome:18} {count:8,d}  p50 {p50:7.1f} ms  p99 {p99:7.1f} ms")
    quiet = sorted(watch.quiet)
    p50, p99 = (1000 * quiet[int(len(quiet) * q)] if quiet else 0.0 for q in (0.5, 0.99))
    print(
        f"  another caller     {len(quiet):8,d}  p50 {p50:7.1f} ms  p99 {p99:7.1f} ms,"
        f" failed: {dict(watch.quiet_failures) or 'none'}"
    )
    print(
        f"  health: slowest {1000 * watch.slowest_health:.0f} ms,"
        f" bad answers {watch.unhealthy[:3] or 'none'}"
    )
    memory = watch.resident
    print(
        f"  memory, all processes: start {memory[0]:.0f}, peak {max(memory):.0f},"
        f" end {memory[-1]:.0f} MiB; processes that came or went: {len(watch.lives) - 1}"
    )


def overload(directory: Path, workers: int, generator: Generator[Work]) -> None:
    """Measures what a server can take, offers it ten times that, and measures again."""
    with DevEnvironment(directory, port=0, workers=workers) as dev:
        roles = {
            role: Target(dev.address, dev.ca, pair.cert, pair.key)
            for role, pair in dev.clients.items()
        }
        work, seconds = Work("national_id", 1, fresh=True), 3.0
        before = generator.measure(roles["pipeline"], work, 16, seconds)
        alone = generator.measure(roles["pipeline"], work, 1, seconds)
        print(
            f"{workers} worker(s): takes {before.calls:,.0f} calls/s, alone p50 {alone.p50:.1f} ms"
        )
        known = Work("national_id", 1, tokens=tokens_of(roles["pipeline"], "national_id", 1))
        with watching(dev.settings, dev.health, roles["restore_pipeline"], known) as watch:
            for number in (1, 2):
                told = flood(roles["pipeline"], work, TIMES * before.calls, SECONDS)
                print(f" flood {number}")
                report(told, watch)
        after = generator.measure(roles["pipeline"], work, 1, seconds)
        print(f" afterwards, alone: p50 {after.p50:.1f} ms", flush=True)
        dev.check()


def main() -> None:
    """Runs it with one worker and with two."""
    with tempfile.TemporaryDirectory() as name, Generator(grpc_loop) as generator:
        for workers in (1, 2):
            overload(Path(name) / f"dev-{workers}", workers, generator)


if __name__ == "__main__":
    main()
