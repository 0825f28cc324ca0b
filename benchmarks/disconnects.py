"""What becomes of a read, a write and a transaction whose client, network or server breaks in the middle."""

import tempfile
from pathlib import Path

from safeconsole.demo.servers import start_cluster
from tests.harness.breaking import BREAKS, DEEDS, RUN_SECONDS, breakable, seen


def print_disconnects(flavour):
    """Break every deed in every way on one flavour, and print what was seen."""
    with (
        tempfile.TemporaryDirectory() as place,
        start_cluster(flavour, Path(place) / "c", replicas=1) as cluster,
        breakable(cluster) as broken,
    ):
        print(f"\n{flavour}: a deadline of {RUN_SECONDS:g} s, broken 0.3 s after the send; seconds from the break\n")
        print("| broken | during | said | told | gone | rows kept | sent | next answer |")
        print("|---|---|---|---|---|---|---|---|")
        for how in BREAKS:
            for deed in DEEDS:
                found = seen(broken, Path(place) / f"{how} {deed}".replace(" ", "-"), deed=deed, how=how)
                print(f"| {how} | {deed} | {found.said} | {found.row} |", flush=True)
