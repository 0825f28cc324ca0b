"""What many short statements through one whole console leave behind, on a cluster of its own."""

import tempfile
import time
from pathlib import Path

from safeconsole.demo.servers import start_cluster
from tests.harness.desk import seated
from tests.harness.soaking import held, settled, soak

WARM = 500


def print_soak(flavour, count):
    """Run so many statements and print what is held before and after."""
    with tempfile.TemporaryDirectory() as place, start_cluster(flavour, Path(place) / "c", replicas=1) as cluster:
        idle = held(cluster)
        with seated(cluster, Path(place) / "desk", gates={"at_once": 1}) as desk:
            soak(desk, WARM)
            before = settled(cluster, held(cluster))
            started = time.monotonic()
            ended = soak(desk, count, start=WARM + 1)
            seconds = time.monotonic() - started
            after = settled(cluster, before)
        closed = settled(cluster, idle)
    outcomes = ", ".join(f"{how} {number}" for how, number in sorted(ended.items()))
    print(f"\n{flavour}: {count} statements in {seconds:.0f} s: {outcomes}\n")
    print(f"| held | before | after {WARM} | after {count} more | closed |")
    print("|---|---|---|---|---|")
    for name in ("threads", "files", "connections", "locks", "processes", "resident_bytes"):
        print(f"| {name} | {' | '.join(f'{getattr(look, name):,}' for look in (idle, before, after, closed))} |")
